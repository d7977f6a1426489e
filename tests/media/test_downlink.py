"""What a link carries, found from when packets arrived: over a link that is simulated, and on the wire."""

import itertools
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.arrivals import Arrivals
from media.downlink import Downlink
from media.rtp import HEADER, URI_SEND_TIME, counted, element, elements, parts, send_time

_SIZE = 1000


class _Link:
    """Carries so many bits per second, 40 ms away, with a clock of its own there."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._downlink, self._arrivals = Downlink(), Arrivals()
        self._free_at = 0.0
        self._coming: list[tuple[float, int]] = []
        self.now = 100.0
        self.clock = 7777.0  # ahead of ours
        self.estimate: float | None = None

    def carry(self, sent: float, seconds: float) -> Iterator[float]:
        """Send at a rate; yield the estimate ten times a second."""
        for _ in range(int(seconds * 10)):
            for n in range(int(sent / 10 / 8 / _SIZE)):
                at = self.now + n * 8 * _SIZE / sent
                number = self._downlink.number(_SIZE, at)
                self._free_at = max(self._free_at, at) + 8 * _SIZE / self.rate
                if self._free_at - at < 0.5:  # the queue is half a second
                    self._coming.append((self._free_at + 0.04, number))
                else:
                    self._free_at -= 8 * _SIZE / self.rate
            self.now += 0.1
            for at, number in [one for one in self._coming if one[0] <= self.now]:
                self._arrivals.note(number, at + self.clock)
            self._coming = [one for one in self._coming if one[0] > self.now]
            for packet in self._arrivals.feedback(1):
                (said,) = rtcp.parse(packet)
                assert isinstance(said, rtcp.TransportFeedback)
                self.estimate = self._downlink.on_feedback(said, self.now) or self.estimate
            if self.estimate is not None:
                yield self.estimate


def test_what_is_carried_easily_leaves_room_above_it_but_not_much() -> None:
    told = list(_Link(5_000_000).carry(800_000, 5))
    assert 1_000_000 < told[-1] < 1_300_000
    assert min(told) > 600_000


def test_a_picture_that_stands_still_is_no_sign_of_a_full_link() -> None:
    link = _Link(5_000_000)
    moving = list(link.carry(800_000, 3))
    assert min(link.carry(40_000, 5)) >= moving[-1]


def test_a_link_that_is_too_full_says_so_within_a_second_and_again() -> None:
    link = _Link(500_000)
    easy = list(link.carry(320_000, 5))
    assert easy[-1] > 400_000
    full = list(link.carry(1_000_000, 1.5))
    assert min(full[:10]) < 500_000
    assert full[-1] < 0.97 * max(full[5:10]) or full[-1] < 400_000, "a fall is confirmed by another"


def test_a_viewers_clock_goes_round_in_twelve_days() -> None:
    link = _Link(5_000_000)
    link.clock = (1 << 24) * 0.064 - 103.0
    told = list(link.carry(800_000, 6))
    assert len(told) > 50
    assert min(told) > 600_000
    assert 1_000_000 < told[-1] < 1_300_000


def test_a_viewers_clock_that_is_set_back_costs_no_memory() -> None:
    link = _Link(5_000_000)
    list(link.carry(800_000, 3))
    for _ in range(5):
        link.clock -= 900.0
        list(link.carry(800_000, 3))
    assert len(link._downlink._arrived) < 150


def test_it_climbs_again_when_the_queue_is_empty() -> None:
    link = _Link(500_000)
    list(link.carry(1_000_000, 2))
    least = link.estimate
    assert least is not None
    link.rate = 3_000_000
    assert list(link.carry(400_000, 6))[-1] > 1.3 * 400_000


@given(st.lists(st.one_of(st.none(), st.integers(0, 6000)), min_size=1, max_size=300), st.integers(0, 0xFFFF))
def test_a_report_says_what_was_noted(distances: list[int | None], first: int) -> None:
    arrivals, at = Arrivals(), 1000.0
    noted: dict[int, float] = {}
    for n, distance in enumerate(distances):
        if distance is not None or n == 0:
            at += 0.00025 * (distance or 0)
            noted[(first + n) & 0xFFFF] = at
            arrivals.note((first + n) & 0xFFFF, at)
    heard: dict[int, float] = {}
    for packet in arrivals.feedback(1):
        (said,) = rtcp.parse(packet)
        assert isinstance(said, rtcp.TransportFeedback)
        heard |= {(said.first + n) & 0xFFFF: at for n, at in enumerate(said.arrivals) if at is not None}
    assert heard.keys() == noted.keys()
    for one, another in itertools.pairwise(noted):
        assert abs(heard[another] - heard[one] - (noted[another] - noted[one])) < 0.001


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\5\0\0\0\0",
        b"\0\0\0\5\0\0\0\0\0\0",
        b"\0\0\xff\xff\0\0\0\0\x20\5",
        b"\0\0\0\5\0\0\0\0\x40\5\0",
    ],
)
def test_a_report_that_is_cut_off_is_refused(body: bytes) -> None:
    head = struct.pack("!BBHLL", 0x80 | 15, 205, (12 + len(body)) // 4 - 1, 1, 2)
    with pytest.raises(rtcp.RtcpError):
        rtcp.parse(head + body)


@pytest.mark.parametrize(("reports", "fits"), [(1, True), (2, True), (3, False)])
def test_what_names_packets_by_the_thousand_is_refused(reports: int, fits: bool) -> None:
    """Those that did not arrive take two bytes for eight thousand, and each takes us time."""
    body = struct.pack("!HHLH2x", 5, 250, 0, 250)
    head = struct.pack("!BBHLL", 0x80 | 15, 205, (12 + len(body)) // 4 - 1, 1, 2)
    if fits:
        told = rtcp.parse(reports * (head + body))
        assert told == [rtcp.TransportFeedback(5, (None,) * 250)] * reports
        return
    with pytest.raises(rtcp.RtcpError, match="500"):
        rtcp.parse(reports * (head + body))


def test_a_packet_gets_its_number_beside_the_time_it_was_sent() -> None:
    payload = b"payload of a packet"
    for stamp in (send_time(12.5), b""):
        packet = HEADER.pack(0x90 if stamp else 0x80, 0xE0, 7, 8, 9) + stamp + payload
        made = counted(packet, 0xABCD, 5)
        extension, carried = parts(made, len(made))
        assert carried == payload
        assert made[1:12] == packet[1:12]
        found = elements(extension)
        assert found[5] == b"\xab\xcd"
        assert (3 in found) == bool(stamp), URI_SEND_TIME
        if stamp:
            assert found[3] == element(stamp, 3)
