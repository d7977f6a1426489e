"""When the packets of a connection arrived, told to their sender, whose estimate of the link lives on it.

Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): pure but for
the numbers it keeps.
"""

import struct
from collections.abc import Sequence

from media import rtcp

_MOST = 400  # packets in one report
_MOST_REPORTS = 4  # at once
_TICK = 0.00025  # seconds, the unit of an arrival's distance from the one before
_REFERENCE = 256 * _TICK
_MISSING, _SMALL, _LARGE = 0, 1, 2
_LONGEST_RUN = 0x1FFF


class Arrivals:
    """Of one connection; sequence numbers are 16 bits and count over all of its streams."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}  # unwrapped sequence -> seconds
        self._next: int | None = None  # the first that was not told of yet
        self._newest = 0
        self._count = 0

    def note(self, sequence: int, now: float) -> None:
        if self._next is None:
            self._next = self._newest = sequence
        unwrapped = self._newest + ((sequence - self._newest + 0x8000) & 0xFFFF) - 0x8000
        if unwrapped >= self._next and len(self._at) < _MOST * _MOST_REPORTS:
            self._at[unwrapped] = now
        self._newest = max(self._newest, unwrapped)

    def feedback(self, media_ssrc: int) -> list[bytes]:
        """Return reports of everything since the last, missing packets included.

        Chrome passes over a report that does not name a stream it sends.
        """
        packets: list[bytes] = []
        while self._at and self._next is not None:
            if len(packets) == _MOST_REPORTS:  # nobody sends so much: its count leaps about
                self._at.clear()
                self._next = self._newest + 1
                break
            first = min(self._at)
            # A gap so wide is a restart of the sender's count, not loss.
            first = self._next if first - self._next < _MOST else first
            last = min(max(self._at), first + _MOST - 1)
            arrivals = [self._at.pop(n, None) for n in range(first, last + 1)]
            packets.append(self._report(media_ssrc, first & 0xFFFF, arrivals))
            self._next = last + 1
        return packets

    def _report(self, media_ssrc: int, first: int, arrivals: Sequence[float | None]) -> bytes:
        began = next(at for at in arrivals if at is not None)
        reference = int(began / _REFERENCE)
        before = round(reference * _REFERENCE / _TICK)
        symbols, deltas = [], bytearray()
        for at in arrivals:
            if at is None:
                symbols.append(_MISSING)
                continue
            ticks = int(at / _TICK)
            distance = max(-0x8000, min(0x7FFF, ticks - before))
            before += distance
            small = 0 <= distance <= 0xFF
            symbols.append(_SMALL if small else _LARGE)
            deltas += struct.pack("!B" if small else "!h", distance)
        head = struct.pack(
            "!LLHHL", 1, media_ssrc, first, len(arrivals), (reference & 0xFFFFFF) << 8 | self._count & 0xFF
        )
        self._count += 1
        return rtcp.transport_feedback(head + _chunks(symbols) + deltas)


def _chunks(symbols: Sequence[int]) -> bytes:
    """Write which packets came: runs of one kind, or seven of any kind in a word."""
    chunks = bytearray()
    at = 0
    while at < len(symbols):
        kind, run = symbols[at], 1
        while at + run < len(symbols) and run < _LONGEST_RUN and symbols[at + run] == kind:
            run += 1
        if run >= 7 or at + run == len(symbols):
            chunks += struct.pack("!H", kind << 13 | run)
            at += run
            continue
        word = 0x8000 | 0x4000
        for n, symbol in enumerate(symbols[at : at + 7]):
            word |= symbol << (12 - 2 * n)
        chunks += struct.pack("!H", word)
        at += 7
    return bytes(chunks)
