"""One line of time for all that viewers get: the worker's clock.

Each stream of a sender counts time from a random number on, and the sender's reports tell when by its own
clock a number was captured. Put on the worker's clock, a picture in another quality, the sound beside it and
whoever stands there next go on where the last one was. A browser fits a straight line through our last twenty
reports and plays sound and picture by it: a line that jumps by 60 ms in a second is wrong by 6 % for most of
a minute.
"""

import time
from collections import deque

_REPORTS = 5  # whose low median counts
_APART = 0.25  # seconds between two reports; one that comes sooner tells nothing new
_NTP_AT_ZERO = time.time() - time.monotonic() + 2_208_988_800  # the NTP time at which monotonic time began


def ntp(moment: float) -> int:
    """Return a moment of monotonic time in NTP's 32.32 fixed point seconds, which never jumps here."""
    return round((moment + _NTP_AT_ZERO) * (1 << 32)) & 0xFFFFFFFF_FFFFFFFF


class SenderClock:
    """A sender's clock as the worker's: one for everything it sends, or its lips and words would differ.

    How long the first report was under way is not known, so what is captured counts as that much later; no
    other report changes that, for none of them tells how long it was held up. `answers` when it may be asked
    for a report.
    """

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self._ahead: float | None = None  # seconds from the sender's clock to the worker's
        self._behind = 0.0  # seconds by which its line was behind the worker's clock at the last report,
        self._least = 0.0  # and at the one that came soonest

    def translate(self, told: int, now: float) -> float:
        """Return when in monotonic time it is `told` (NTP, 32.32) by the sender's clock; it is told `now`."""
        seconds = told / (1 << 32)
        if self._ahead is None:
            self._ahead = now - seconds
        self._behind = now - seconds - self._ahead
        self._least = min(self._least, self._behind)
        return seconds + self._ahead

    def arriving(self, now: float) -> float:
        """Return the moment on the sender's line that arrives now, as far as is known."""
        return now - self._behind

    def latest(self, now: float) -> float:
        """Return the latest moment on the sender's line that can arrive now."""
        return now - self._least


class Timeline:
    """Where the timestamps of one stream lie on the line, by its sender's reports.

    Browsers tell of sound by when it was encoded, which is up to 20 ms late when they are at ease and more
    when they are not, never early: of five reports neither the last nor the latest is believed.
    """

    def __init__(self, rate: int, clock: SenderClock) -> None:
        self._rate = rate
        self._clock = clock
        self._shifts: deque[int] = deque(maxlen=_REPORTS)
        self._told_at = float("-inf")
        self.shift: int | None = None  # is added to a timestamp, modulo 2^32; None: nothing was reported yet

    def on_report(self, told: int, timestamp: int, now: float) -> None:
        """Take that `told` (NTP, 32.32, by the sender's clock) and `timestamp` are the same moment."""
        moment = self._clock.translate(told, now)
        if abs(moment - self._told_at) < _APART:
            return
        self._told_at = moment
        shift = (round(moment * self._rate) - timestamp) & 0xFFFFFFFF
        self._shifts.append(shift)
        later = sorted(signed(one - shift) for one in self._shifts)
        self.shift = (shift + later[(len(later) - 1) // 2]) & 0xFFFFFFFF

    def arriving(self, now: float) -> int:
        """Return the line's timestamp of what arrives now, as far as is known."""
        return round(self._clock.arriving(now) * self._rate) & 0xFFFFFFFF

    def latest(self, now: float) -> int:
        """Return the latest timestamp on the line that can arrive now."""
        return round(self._clock.latest(now) * self._rate) & 0xFFFFFFFF


def signed(ticks: int) -> int:
    """Return a distance of timestamps, which are counted modulo 2^32, as less than half of it either way."""
    return (ticks + 0x80000000 & 0xFFFFFFFF) - 0x80000000
