"""How long packets wait on their way to a viewer, found from when each arrived (transport-wide feedback).

A packet that waits in a queue comes later than the quickest did. Time is an argument, in seconds.
"""

from collections.abc import Iterator
from typing import NamedTuple

from media.rtcp import TransportFeedback

_KEPT = 1 << 12  # packets remembered; feedback comes ten times a second
_ROUND = (1 << 24) * 0.064  # seconds after which the times in feedback begin anew
_QUICKEST_KEPT = 10.0  # seconds for which the quickest packet is remembered, at least: clocks drift


class Arrival(NamedTuple):
    """What is told of a packet that was sent."""

    number: int
    size: int  # bytes
    at: float  # when it arrived, by the viewer's clock
    waited: float  # seconds on its way, above what the quickest took


class Transit:
    """Of packets that are numbered by one count of 16 bits, over whichever streams."""

    def __init__(self, first: int = 0) -> None:
        self.next = first
        self._sent: dict[int, tuple[float, int]] = {}  # when, bytes; by number
        self._quickest = [float("inf"), float("inf")]  # of these ten seconds, of the ten before
        self._quickest_since = 0.0
        self._told_last: float | None = None

    def number(self, size: int, now: float) -> int:
        """Return the number of a packet that is sent now."""
        number = self.next
        self._sent.pop((number - _KEPT) & 0xFFFF, None)
        self._sent[number] = now, size
        self.next = (number + 1) & 0xFFFF
        return number

    def arrivals(self, feedback: TransportFeedback, now: float) -> Iterator[Arrival]:
        """Yield what is told of packets that had not arrived before."""
        if now - self._quickest_since > _QUICKEST_KEPT:
            self._quickest = [float("inf"), self._quickest[0]]
            self._quickest_since = now
        for n, at in enumerate(feedback.arrivals):
            if at is None:
                continue
            number = (feedback.first + n) & 0xFFFF
            sent = self._sent.pop(number, None)
            if sent is None:
                continue
            arrived = self._unwrapped(at)
            took = arrived - sent[0]  # off by what the two clocks differ by, which the quickest's is as well
            self._quickest[0] = min(self._quickest[0], took)
            yield Arrival(number, sent[1], arrived, took - min(self._quickest))

    def _unwrapped(self, at: float) -> float:
        if self._told_last is not None:
            at = self._told_last + (at - self._told_last + _ROUND / 2) % _ROUND - _ROUND / 2
        self._told_last = at
        return at

    def missing(self, feedback: TransportFeedback) -> Iterator[int]:
        """Yield which of the packets that a viewer tells of did not arrive."""
        for n, at in enumerate(feedback.arrivals):
            number = (feedback.first + n) & 0xFFFF
            if at is None and number in self._sent:
                yield number
