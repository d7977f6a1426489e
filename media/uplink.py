"""A publisher's link, where its browser does not see how full it is.

A browser sees a queue that grows quickly. One that grows by ten milliseconds a second it takes for nothing:
it fills up, and stays full, everything is late and a few packets in a hundred are lost. We see it in how long
the browser's reports are under way, and say that we take less (REMB), until it is gone.
"""

from collections import deque

_STANDS = 0.12  # seconds for which reports are under way beyond the least, so many seconds on end
_SECONDS_STANDING = 3
_GONE = 0.04
_DRAINING = 0.8  # of what comes, for the queue to empty
_FALLS = 0.02  # by so much each second, or less is to come
_MOST_SECONDS_DRAINING = 8
_LEAST = 0.5  # of what came, that is taken at any time
_AFTER = 0.92  # and that is taken then, each second so much more,
_GROWTH, _GROWTH_AT_EASE = 1.01, 1.03
_FREE = 1.15  # until it is so much of what came: it fits
_REMEMBERED = 120  # seconds


class _Drain:
    """A queue was found while so much came, in bits per second: less is asked for until it is gone."""

    def __init__(self, queue: float, came: float) -> None:
        self.cap = _DRAINING * came
        self.is_over = False
        self._came = came
        self._queue = queue  # seconds, when it was last looked at
        self._seconds = 0

    def look(self, queue: float, came: float) -> float | None:
        """Return the cap for the next second; None when the queue does not come from what is sent to us."""
        self._seconds += 1
        was, self._queue = self._queue, queue
        if queue < _GONE:
            self.is_over = True
            # Browsers do not reckon with all they send: sound that is sent twice takes 60 kb/s more.
            least, most = _LEAST * self._came, _AFTER * self._came
            return max(least, min(self.cap + most - came, most))
        if self._seconds >= _MOST_SECONDS_DRAINING or self.cap < _LEAST * self._came:
            self.is_over = True
            return None
        if self._seconds > 1 and queue > was - _FALLS:
            self.cap *= _DRAINING
        return self.cap


class Uplink:
    """Of one connection. `cap` is the most to be sent to us, in bits per second; None: whatever there is."""

    def __init__(self) -> None:
        self.cap: float | None = None
        self._delay: float | None = None  # of this second's reports the soonest, by a clock that is not ours
        self._delays: deque[float] = deque(maxlen=_REMEMBERED)
        self._standing = 0  # seconds
        self._drain: _Drain | None = None
        self._came = 0.0  # bits per second, when the queue was found

    def on_report(self, told: int, now: float) -> None:
        """Take when a report says it was sent (NTP, 32.32, by the sender's clock)."""
        delay = now - told / (1 << 32)
        self._delay = delay if self._delay is None else min(self._delay, delay)

    def tick(self, came: float) -> None:
        """Once a second, with how many bits came in it."""
        delay, self._delay = self._delay, None
        if delay is None:
            return
        self._delays.append(delay)
        queue = delay - min(self._delays)
        if self._drain is not None:
            self._go_on(self._drain, queue, came)
            return
        self._standing = self._standing + 1 if queue > _STANDS else 0
        if self._standing >= _SECONDS_STANDING and came:
            self._standing, self._drain = 0, _Drain(queue, came)
            self._came, self.cap = came, self._drain.cap
        elif self.cap is not None:
            self.cap *= _GROWTH_AT_EASE if queue < _GONE else _GROWTH
            if self.cap > _FREE * self._came:
                self.cap = None

    def _go_on(self, drain: _Drain, queue: float, came: float) -> None:
        self.cap = drain.look(queue, came)
        if drain.is_over:
            self._drain = None
        if self.cap is None:  # the way is longer than it was
            self._delays.clear()
