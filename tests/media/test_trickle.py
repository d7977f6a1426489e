"""Slides over a thin link: evenly, in order, with the time they leave at; none that are of long ago."""

import asyncio
import struct
import time
from itertools import pairwise

from media.rtp import HEADER_SIZE, SEND_TIME_SIZE, send_time
from media.srtp import Target
from media.trickle import Trickle
from tests.builders import until
from tests.media.listeners import Direct

_SIZE = 1000


class _Connection(Direct):
    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes]] = []

    def target(self) -> Target | None:
        return "context", b"name"

    def send_rtp(self, packet: bytes) -> None:
        self.sent.append((time.monotonic(), packet))

    @property
    def numbers(self) -> list[int]:
        return [struct.unpack_from("!H", packet, 2)[0] for _, packet in self.sent]


def _packet(number: int) -> bytes:
    head = struct.pack("!BBHLL", 0x90, 96, number, 0, 7) + send_time(1.0)
    return head + bytes(_SIZE - len(head))


async def test_packets_leave_evenly_in_order_and_say_when() -> None:
    to = _Connection()
    slides = Trickle(to)
    assert slides.target() == to.target()
    slides.send_rtp(_packet(0))
    assert to.numbers == [0], "as it comes"
    assert slides.let(200_000)
    assert slides.target() is None
    for n in range(1, 31):
        slides.send_rtp(_packet(n))
    assert len(to.sent) < 5
    await until(lambda: slides.unsent is None, 5)
    took = to.sent[-1][0] - to.sent[0][0]
    assert 1.0 < took < 1.6, "thirty packets at 25 a second, a few of them at once"
    assert to.numbers == list(range(31))
    assert max(later - one for (one, _), (later, _) in pairwise(to.sent)) < 0.3
    for at, packet in to.sent[1:]:
        stamp = packet[HEADER_SIZE : HEADER_SIZE + SEND_TIME_SIZE]
        told, now = (int.from_bytes(one[-3:], "big") for one in (stamp, send_time(at)))
        assert 0 <= (now - told) & 0xFFFFFF < 0x40000 // 20
        assert packet[:HEADER_SIZE] + packet[HEADER_SIZE + SEND_TIME_SIZE :] == (
            _packet(to.numbers[to.sent.index((at, packet))])[:HEADER_SIZE]
            + bytes(_SIZE - HEADER_SIZE - SEND_TIME_SIZE)
        )
    slides.close()


async def test_what_waits_leaves_when_the_link_is_wide_again() -> None:
    to = _Connection()
    slides = Trickle(to)
    slides.let(40_000)
    for n in range(20):
        slides.send_rtp(_packet(n))
    assert not slides.let(50_000), "held back before and now"
    assert slides.let(0)
    slides.send_rtp(_packet(20))
    assert to.numbers == list(range(21))
    assert slides.unsent is None
    slides.close()


async def test_slides_of_long_ago_are_not_sent() -> None:
    to = _Connection()
    slides = Trickle(to)
    slides.let(40_000)
    for n in range(60):
        assert not slides.is_late or n > 50, "ten seconds are fifty packets"
        slides.send_rtp(_packet(n))
    assert slides.is_late
    assert slides.unsent == _packet(len(to.sent))
    assert not slides.cut()
    assert not slides.is_late
    slides.send_rtp(_packet(99))
    await until(lambda: slides.unsent is None, 5)
    assert to.numbers == [*range(len(to.sent) - 1), 99]
    slides.send_rtp(_packet(100))
    slides.close()
    before = list(to.sent)
    await asyncio.sleep(0.3)
    assert to.sent == before
