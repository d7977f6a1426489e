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


def _packet(number: int, *, last: bool = False) -> bytes:
    head = struct.pack("!BBHLL", 0x90, 0x80 * last | 96, number, 0, 7) + send_time(1.0)
    return head + bytes(_SIZE - len(head))


async def test_packets_leave_evenly_in_order_and_say_when() -> None:
    to = _Connection()
    slides = Trickle(to)
    assert slides.target() == to.target()
    slides.send_rtp(_packet(0))
    assert to.numbers == [0], "as it comes"
    slides.hold(200_000, 0)
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


async def test_what_comes_late_is_in_its_place_or_does_not_wait() -> None:
    to = _Connection()
    slides = Trickle(to)
    slides.hold(40_000, 10)
    for n in (9, 11, 12, 15, 13, 17, 14, 16):
        slides.send_rtp(_packet(n))
    assert to.numbers[0] == 9, "others of its time have left"
    assert slides.unsent == _packet(12)
    slides.hold(4_000_000, 3)
    await until(lambda: slides.unsent is None, 5)
    assert to.numbers == [9, *range(11, 18)], "and not one of them twice"
    slides.release()
    slides.send_rtp(_packet(18))
    assert to.numbers[-1] == 18
    slides.close()


async def test_slides_of_long_ago_are_cut_once_a_frame_was_seen() -> None:
    to = _Connection()
    slides = Trickle(to)
    slides.hold(40_000, None)
    for n in range(60):
        slides.send_rtp(_packet(n, last=n == 4))
        assert not slides.is_late, "what a keyframe needs to come is waited for"
    slides.hold(400_000, None)
    await until(lambda: len(to.sent) > 5, 5)
    slides.hold(4_000, None)
    assert slides.is_late
    assert slides.unsent == _packet(len(to.sent))
    assert not slides.cut(), "it was in the middle of a frame"
    assert slides.unsent is None
    before = list(to.sent)
    slides.send_rtp(_packet(99))
    slides.close()
    await asyncio.sleep(0.3)
    assert to.sent == before
