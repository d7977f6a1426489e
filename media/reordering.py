"""Packets of one stream that wait for an earlier one, which was lost on the way in and is asked for again.

A viewer who is sent a gap asks for it, though we have not got it yet, and takes the loss for their own
link's; when it is filled, pictures come in a clump for which their browser has kept no time.
"""

from typing import Generic, TypeVar

from media.nack import MissingPackets

Packet = TypeVar("Packet")


class Reordering(Generic[Packet]):
    """Numbers are 16 bits, times in seconds."""

    def __init__(self, missing: MissingPackets) -> None:
        self._missing = missing
        self._held: list[tuple[int, Packet]] = []  # in order

    def through(self, sequence: int, packet: Packet, now: float) -> list[Packet]:
        """Take a packet that has come; return what is to go on by now."""
        if not self._held and not self._missing.is_awaited_before(sequence, now):
            return [packet]
        at = len(self._held)
        while at and (self._held[at - 1][0] - sequence) & 0xFFFF < 0x8000:
            at -= 1
        self._held.insert(at, (sequence, packet))
        return self.due(now)

    def due(self, now: float) -> list[Packet]:
        """Return what has waited long enough, in order."""
        count = 0
        for sequence, _ in self._held:
            if self._missing.is_awaited_before(sequence, now):
                break
            count += 1
        due = [packet for _, packet in self._held[:count]]
        del self._held[:count]
        return due
