"""What a viewer's link carries, found from when each packet arrived (transport-wide feedback): for programs
that send no estimate of their own. Speaks as a REMB does: it falls when the link is too full, and climbs no
further than half above what arrives. Time is an argument, in seconds.

A packet that waits in a queue on its way comes later than the quickest did. A queue that stays says that more
is sent than is carried.
"""

from collections import deque

from media.rtcp import TransportFeedback

_RING = 1 << 12  # packets remembered; feedback comes ten times a second
_LONG, _SHORT = 0.08, 0.03  # seconds in the queue: too long, and as good as none
_SMOOTHED = 0.2  # weight of a new packet's time in the queue
_QUICKEST_KEPT = 10.0  # seconds for which the quickest packet is remembered, at least: clocks drift
_WINDOW = 1.0  # seconds over which what arrives is counted
_FALL, _PAUSE = 0.85, 0.3  # of what arrives; seconds between two falls
_ABOVE, _LEAST_ABOVE = 1.5, 20_000  # times what arrives, and bits per second
_GROWTH = 0.25  # each second


class Downlink:
    """Of one connection; numbers are 16 bits and count over all of its streams."""

    def __init__(self) -> None:
        self._next = 0
        self._sent: list[tuple[int, float, int] | None] = [None] * _RING  # number, when, bytes
        self._arrived: deque[tuple[float, int]] = deque()  # when by the viewer's clock, bytes
        self._bytes = 0
        self._quickest = [float("inf"), float("inf")]  # of these ten seconds, of the ten before
        self._quickest_since = 0.0
        self._queued = 0.0
        self._rate = 0.0  # the estimate, bits per second; 0: none yet
        self._fell_at = float("-inf")
        self._told_at: float | None = None

    def number(self, size: int, now: float) -> int:
        """Return the number of a packet that is sent now."""
        number = self._next
        self._sent[number % _RING] = number, now, size
        self._next = (number + 1) & 0xFFFF
        return number

    def on_feedback(self, feedback: TransportFeedback, now: float) -> float | None:
        """Return what the link is believed to carry, in bits per second; None while too little is known."""
        if now - self._quickest_since > _QUICKEST_KEPT:
            self._quickest = [float("inf"), self._quickest[0]]
            self._quickest_since = now
        waited_before, known = self._queued, False
        for n, at in enumerate(feedback.arrivals):
            number = (feedback.first + n) & 0xFFFF
            sent = self._sent[number % _RING]
            if at is None or sent is None or sent[0] != number:
                continue
            known = True
            self._sent[number % _RING] = None
            self._note(at, at - sent[1], sent[2])
        return self._estimate(now, rising=self._queued >= waited_before) if known else None

    def _note(self, at: float, took: float, size: int) -> None:
        """`took` is off by what the two clocks differ by, which the quickest packet's is as well."""
        self._quickest[0] = min(self._quickest[0], took)
        self._queued += _SMOOTHED * (took - min(self._quickest) - self._queued)
        self._arrived.append((at, size))
        self._bytes += size
        while self._arrived[-1][0] - self._arrived[0][0] > _WINDOW:
            self._bytes -= self._arrived.popleft()[1]

    def _estimate(self, now: float, *, rising: bool) -> float | None:
        span = self._arrived[-1][0] - self._arrived[0][0]
        if span < _WINDOW / 2:
            return None
        arrives = 8 * self._bytes / span
        passed = now - self._told_at if self._told_at is not None else 0.0
        self._told_at = now
        if self._queued > _LONG and rising:
            if now - self._fell_at >= _PAUSE:
                self._fell_at = now
                self._rate = _FALL * min(arrives, self._rate or arrives)
        elif self._queued < _SHORT:
            # Of a picture that stands still little arrives, and the link carries no less.
            grown = min(_ABOVE * arrives + _LEAST_ABOVE, (self._rate or arrives) * (1 + _GROWTH * passed))
            self._rate = max(self._rate, grown)
        return max(1.0, self._rate or arrives)
