"""A probe fills a link at its rate, with numbers of its own, and with what the viewer has."""

import time
from typing import Any

import pytest

from media.arrivals import Arrivals
from media.bandwidth import Bandwidth
from media.formats import RTX_OF, VP8
from media.retransmission import Probe, Retransmissions
from media.rtcp import TransportFeedback, parse
from media.rtp import HEADER, HEADER_SIZE, SEND_TIME_SIZE, TRANSPORT_SEQUENCE, element, parts, send_time
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

    def take(self, packet: bytes) -> None:
        assert self.has_room
        self.sent.append(packet)


@pytest.fixture
def view() -> Any:
    return _View()


@pytest.fixture
def link() -> _Link:
    return _Link()


@pytest.fixture
def probe(view: Any, link: _Link) -> Probe:
    return Probe(Retransmissions([view.slot]), lambda: link.has_room, link.take)


@pytest.mark.parametrize("rate", [50_000.0, 300_000.0, 1_000_000.0, 2_000_000.0])
def test_a_link_is_filled_at_the_rate_and_no_more_than_a_packet_too_much_each_time_and_ever(
    probe: Probe, view: Any, link: _Link, rate: float
) -> None:
    for n in range(101):
        before = len(link.sent)
        probe.fill(rate, [view], 10.0 + n * 0.02)
        owed = rate / 8 * 0.02
        sent = [len(packet) for packet in link.sent]
        assert sum(sent) >= n * owed - 1
        assert sum(sent[:-1]) <= n * owed
        assert sum(sent[before:-1]) <= (owed if n else 0)


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


class _Narrow(_Link):
    """Carries so many bits per second 30 ms away, of which the class takes its part; holds half a second."""

    def __init__(self, rate: float, media: float) -> None:
        super().__init__()
        self.now = 50.0
        self.longest = 0.0  # that a packet had to wait
        self.drops_every: int | None = None
        self.burst = 0.0  # bits of a keyframe that goes out in between
        self.lost = 0
        self._rate, self._media = rate, media
        self._free_at = 0.0
        self._coming: list[tuple[float, int]] = []
        self._arrivals = Arrivals()

    def take(self, packet: bytes) -> None:
        extension, _ = parts(packet, len(packet))
        number = element(extension, TRANSPORT_SEQUENCE)
        assert number is not None
        assert len(number) == 2
        super().take(packet)
        if self._carry(8 * len(packet)):
            self._coming.append((self._free_at + 0.03, int.from_bytes(number, "big")))
        else:
            self.lost += 1

    def pass_on(self, seconds: float) -> list[TransportFeedback]:
        """Let time pass; return what the viewer tells."""
        self._carry(self._media * seconds + (self.burst if self.now <= 50.7 < self.now + seconds else 0.0))
        self.now += seconds
        for at, number in [one for one in self._coming if one[0] <= self.now]:
            self._arrivals.note(number, at + 7777.0)
        self._coming = [one for one in self._coming if one[0] > self.now]
        told = [one for packet in self._arrivals.feedback(1) for one in parse(packet)]
        return [one for one in told if isinstance(one, TransportFeedback)]

    def _carry(self, bits: float) -> bool:
        waits = max(0.0, self._free_at - self.now)
        self.longest = max(self.longest, waits)
        dropped = self.drops_every is not None and len(self.sent) % self.drops_every == 1
        if waits > 0.5 or dropped:
            return False
        self._free_at = self.now + waits + bits / self._rate
        return True


def _probed(link: _Narrow, view: Any) -> Bandwidth:
    """Probe a link on which 180 kb/s are sent for 450, and nothing is told but what arrives."""
    bandwidth = Bandwidth()
    probe = Probe(Retransmissions([view.slot]), lambda: link.has_room, link.take)
    probe.is_counted = True
    bandwidth.budget = 200_000.0
    bandwidth.on_sent(180_000)
    bandwidth.tick(link.now - 1, 450_000)
    bandwidth.tick(link.now, 450_000)
    assert bandwidth.is_probing
    probe.begin({view.slot.place.ssrc: view})
    for n in range(100):
        rate = bandwidth.probe_rate(link.now)
        if rate:
            probe.fill(rate - bandwidth.sent, [view], link.now)
        for feedback in link.pass_on(0.02):
            if bandwidth.is_probing:
                missing = probe.on_feedback(feedback, link.now)
                bandwidth.on_arrivals(missing, link.now, held_up=probe.is_held_up)
        if n % 50 == 49:
            bandwidth.tick(link.now, None)
        if not bandwidth.is_probing:
            break
    return bandwidth


def test_a_probe_ends_before_a_link_that_is_too_narrow_loses_anything(view: Any) -> None:
    link = _Narrow(300_000, 180_000)
    bandwidth = _probed(link, view)
    assert bandwidth.is_full(link.now), "it failed"
    assert link.now < 51.3
    assert bandwidth.budget <= 200_000
    assert link.longest < 0.2
    assert not link.lost


def test_a_probe_of_a_link_that_carries_it_goes_to_its_end(view: Any) -> None:
    link = _Narrow(700_000, 180_000)
    assert _probed(link, view).budget > 450_000


@pytest.mark.parametrize(("rate", "burst"), [(600_000, 90_000), (700_000, 180_000)])
def test_a_keyframe_in_between_does_not_end_it(view: Any, rate: float, burst: float) -> None:
    link = _Narrow(rate, 180_000)
    link.burst = burst
    assert _probed(link, view).budget > 450_000
    assert link.longest > 0.1


def test_a_probe_whose_packets_do_not_arrive_ends_though_none_is_late(view: Any) -> None:
    """As where a router holds no queue, but drops what is above a rate."""
    link = _Narrow(10_000_000, 180_000)
    link.drops_every = 2
    bandwidth = _probed(link, view)
    assert 4 <= link.lost < 15
    assert bandwidth.budget <= 200_000


def test_what_our_own_card_has_no_room_for_is_neither_sent_nor_missing(view: Any) -> None:
    link = _Narrow(10_000_000, 180_000)
    probe = Probe(Retransmissions([view.slot]), lambda: link.has_room, link.take)
    probe.is_counted = True
    probe.begin({view.slot.place.ssrc: view})
    missing = 0
    for n in range(75):
        link.has_room = n % 8 != 0
        probe.fill(300_000.0, [view], link.now)
        for feedback in link.pass_on(0.02):
            missing = probe.on_feedback(feedback, link.now)
    assert not missing
    assert not probe.is_vain
    link.has_room = False
    for _ in range(30):
        probe.fill(40_000.0, [view], link.now)
        link.now += 0.02
    assert probe.is_vain, "also where few packets are due"
