"""The worker's clock: ticks that ride on what comes anyway.

To wake a sleeping process costs more than most ticks do, so a tick that is due is done when packets have
been read; only when none come does a timer do it. Measured: 50 timers a second were 6 ms of CPU.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

_TICK = 0.02  # seconds from one tick to when the next is due
_GRACE = 0.005  # how much earlier it rides on a packet, or later it comes without one
_RESTING = 0.25  # seconds between ticks while there is nothing to be done
_LATE, _VERY_LATE = 0.02, 0.1  # after it was due: what is counted, what is told of
_log = structlog.get_logger()


class Clock:
    """Calls `tick(now)`, which says whether there is work each 20 ms. Closed by the worker."""

    def __init__(self, tick: Callable[[float], bool]) -> None:
        self.ticks = 0
        self.late = 0  # by more than 20 ms
        self.worst = 0.0  # seconds after it was due
        self._tick = tick
        self._due = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle = self._loop.call_soon(self._beat)

    def ride(self) -> None:
        """Tick if it is time: packets have been read."""
        now = time.monotonic()
        if now >= self._due - _GRACE:
            self._beat(now)

    def close(self) -> None:
        self._timer.cancel()
        self._due = float("inf")

    def _beat(self, now: float | None = None) -> None:
        self._timer.cancel()
        now = now or time.monotonic()
        late = now - self._due
        self.ticks += 1
        self.late += late > _LATE
        self.worst = max(self.worst, late)
        if late > _VERY_LATE:
            _log.warning("media.late_tick", seconds=round(late, 3))
        busy = True
        try:
            busy = self._tick(now)
        finally:
            self._due = now + (_TICK if busy else _RESTING)
            wait = self._due + _GRACE - time.monotonic()
            self._timer = self._loop.call_later(max(0.0, wait), self._beat)
