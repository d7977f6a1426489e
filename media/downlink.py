"""What a viewer's link carries, found from when each packet arrived (transport-wide feedback): for programs
that send no estimate of their own. Speaks as a REMB does: it falls when the link is too full, and climbs no
further than half above what arrives. Time is an argument, in seconds.

A queue that stays says that more is sent than is carried.
"""

from collections import deque

from media.rtcp import TransportFeedback
from media.transit import Transit

_SMOOTHED = 0.2  # weight of a new packet's time in the queue
_LONG, _SHORT = 0.08, 0.03  # seconds in the queue: too long, and as good as none
_WINDOW = 1.0  # seconds over which what arrives is counted
_FALL, _PAUSE = 0.85, 0.3  # of what arrives; seconds between two falls
_ABOVE, _LEAST_ABOVE = 1.5, 20_000  # times what arrives, and bits per second
_GROWTH = 0.25  # each second


class Downlink:
    """Of one connection; numbers are 16 bits and count over all of its streams."""

    def __init__(self) -> None:
        self._transit = Transit()
        self._arrived: deque[tuple[float, int]] = deque()  # when by the viewer's clock, bytes
        self._bytes = 0
        self._queued = 0.0  # seconds in the queue, smoothed
        self._rate = 0.0  # the estimate, bits per second; 0: none yet
        self._fell_at = float("-inf")
        self._told_at: float | None = None

    def number(self, size: int, now: float) -> int:
        """Return the number of a packet that is sent now."""
        return self._transit.number(size, now)

    def on_feedback(self, feedback: TransportFeedback, now: float) -> float | None:
        """Return what the link is believed to carry, in bits per second; None while too little is known."""
        waited_before, known = self._queued, False
        for arrival in self._transit.arrivals(feedback, now):
            known = True
            self._queued += _SMOOTHED * (arrival.waited - self._queued)
            self._note(arrival.at, arrival.size)
        return self._estimate(now, rising=self._queued >= waited_before) if known else None

    def _note(self, at: float, size: int) -> None:
        if self._arrived and at < self._arrived[0][0] - _WINDOW:  # their clock begins anew
            self._arrived.clear()
            self._bytes = 0
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
