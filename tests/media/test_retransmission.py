"""A probe fills a link at its rate, with numbers of its own, and with what the viewer has."""

import time
from typing import Any

import pytest

from media.formats import RTX_OF, VP8
from media.retransmission import Probe, Retransmissions
from media.rtp import HEADER, HEADER_SIZE, SEND_TIME_SIZE, send_time
from media.slot import Slot, stage

_BODY = HEADER_SIZE + SEND_TIME_SIZE


def _packet(sequence: int) -> bytes:
    """A packet of a picture; every other is small."""
    head = HEADER.pack(0x90, 0x80 | VP8.payload_type, sequence, 9000, 7)
    return head + send_time(1.0) + b"a picture" * (100 if sequence % 2 else 10)


class _View:
    """Shows the camera."""

    types: bytes | None = None
    last = 501

    def __init__(self) -> None:
        sender: Any = None
        self.slot = Slot(next(one for one in stage() if one.source == "camera"), sender)

    def recent(self, back: int) -> bytes | None:
        return _packet(self.last - back)


class _Link:
    """Takes what it is filled with, while there is room for it."""

    has_room = True

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def take(self, packet: bytes) -> bool:
        self.sent += [packet] * self.has_room
        return self.has_room


@pytest.fixture
def view() -> Any:
    return _View()


@pytest.fixture
def link() -> _Link:
    return _Link()


@pytest.fixture
def probe(view: Any, link: _Link) -> Probe:
    return Probe(Retransmissions([view.slot]), link.take)


@pytest.mark.parametrize("rate", [50_000.0, 300_000.0, 1_000_000.0, 2_000_000.0])
def test_a_link_is_filled_at_the_rate_and_no_more_than_a_packet_too_much_each_time(
    probe: Probe, view: Any, link: _Link, rate: float
) -> None:
    for n in range(101):
        before = len(link.sent)
        probe.fill(rate, [view], 10.0 + n * 0.02)
        owed = rate / 8 * 0.02 if n else 0
        sent = [len(packet) for packet in link.sent[before:]]
        assert sum(sent) >= owed - 1
        assert sum(sent[:-1]) <= owed


def test_what_fills_it_is_the_newest_under_numbers_of_its_own(probe: Probe, view: Any, link: _Link) -> None:
    for n in range(20):
        probe.fill(1_000_000.0, [view], 10.0 + n * 0.02)
    numbers = [HEADER.unpack_from(packet)[2] for packet in link.sent]
    assert numbers == list(range(numbers[0], numbers[0] + len(link.sent)))
    firsts = set()
    for packet in link.sent:
        first, kind, _, timestamp, ssrc = HEADER.unpack_from(packet)
        assert (first, kind & 0x7F, timestamp) == (0x90, RTX_OF[VP8.payload_type], 9000)
        assert ssrc == view.slot.place.rtx_ssrc
        sequence = int.from_bytes(packet[_BODY : _BODY + 2], "big")
        assert packet[_BODY + 2 :] == _packet(sequence)[_BODY:]
        firsts.add(sequence)
    assert max(firsts) == view.last
    assert len(firsts) > 2


def test_it_says_when_it_is_sent_not_when_it_was_laid_out(view: Any) -> None:
    retransmissions = Retransmissions([view.slot])
    packet = _packet(500)
    before = time.monotonic()
    again = retransmissions.wrap(view, packet)
    assert again is not None
    sent = int.from_bytes(again[HEADER_SIZE + 5 : _BODY], "big")
    laid_out = int.from_bytes(packet[HEADER_SIZE + 5 : _BODY], "big")
    now = int(before * 0x40000)
    assert (sent - now) & 0xFFFFFF < 0x40000, "within a second"
    assert sent != laid_out
    assert again[_BODY:] == packet[2:4] + packet[_BODY:]


def test_who_takes_no_retransmissions_is_not_probed(probe: Probe, view: Any, link: _Link) -> None:
    view.types = bytes([0xFF]) * 128
    for n in range(20):
        probe.fill(1_000_000.0, [view], 10.0 + n * 0.02)
    assert link.sent == []


def test_a_probe_that_we_had_no_room_for_is_vain(probe: Probe, view: Any, link: _Link) -> None:
    for n in range(75):
        link.has_room = n % 8 != 0  # now and then something waits
        probe.fill(1_000_000.0, [view], 10.0 + n * 0.02)
    assert not probe.is_vain
    link.has_room = False
    for n in range(75, 90):
        probe.fill(1_000_000.0, [view], 10.0 + n * 0.02)
    assert probe.is_vain
    probe.end()
    assert not probe.is_vain


def test_only_what_was_sent_since_it_began_counts_against_it(probe: Probe, view: Any) -> None:
    ssrc = view.slot.place.ssrc
    probe.begin({ssrc: view})
    probe.fill(1_000_000.0, [view], 10.0)
    view.last = 900
    probe.begin({ssrc: view})  # it runs already
    assert probe.covers(ssrc, 502)
    assert not probe.covers(ssrc, 501)
    assert probe.covers(ssrc + 1, 3)
    probe.end()
    probe.begin({ssrc: view})
    assert not probe.covers(ssrc, 900)
