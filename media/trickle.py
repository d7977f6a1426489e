"""A picture let out evenly, as a thin link takes it: slides come over seconds, the sound beside them whole.

Sent as it comes, a slide of thirty packets fills the queue before a thin link, and sound is lost in it.
"""

import asyncio
import time
from collections import deque

from media.rtp import send_time
from media.srtp import Target
from media.strand import Watcher

_EVERY = 0.02  # seconds between two looks
_AHEAD = 0.05  # seconds' worth that may leave at once
_LONGEST = 10.0  # seconds something may wait: what shows by then is of long ago
_TIME_AT = 12 + 5  # where the time of sending stands in a packet of ours, three bytes


class Trickle:
    """Between a view and its viewer's connection. Closed by the connection."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._rate = 0.0  # bits per second; 0: everything leaves as it comes
        self._waiting: deque[bytes] = deque()
        self._bits = 0
        self._ends_frame = True  # what was sent last
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_on(self) -> bool:
        return self._rate > 0

    @property
    def unsent(self) -> bytes | None:
        return self._waiting[0] if self._waiting else None

    def let(self, rate: float) -> bool:
        """Let so many bits a second out from now on, or with 0 all; say whether `target` is another now."""
        changed = (rate > 0) != (self._rate > 0)
        self._rate = rate
        if not rate:
            self._send_until(float("inf"))
        return changed

    @property
    def is_late(self) -> bool:
        """Say whether more comes than is let out."""
        return self._bits > _LONGEST * self._rate > 0

    def cut(self) -> bool:
        """Send nothing of what waits; say whether what was sent before that ended a frame."""
        self._waiting.clear()
        self._bits = 0
        return self._ends_frame

    def close(self) -> None:
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # As a view sees it

    def target(self) -> Target | None:
        return None if self._rate else self._watcher.target()

    def send_rtp(self, packet: bytes) -> None:
        if not self._rate:
            self._watcher.send_rtp(packet)
            return
        self._waiting.append(packet)
        self._bits += 8 * len(packet)
        if self._timer is None:
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        self._free_at = max(self._free_at, now - _EVERY)
        self._send_until(now + _AHEAD)
        self._timer = None
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._look)

    def _send_until(self, moment: float) -> None:
        """Send what the link will have taken by then."""
        while self._waiting and self._free_at < moment:
            packet = self._waiting.popleft()
            self._bits -= 8 * len(packet)
            if self._rate:
                self._free_at += 8 * len(packet) / self._rate
            # Its time of sending is now, or it would look as if the link had held it up.
            self._ends_frame = bool(packet[1] & 0x80)
            sent_at = send_time(time.monotonic())[-3:]
            self._watcher.send_rtp(packet[:_TIME_AT] + sent_at + packet[_TIME_AT + 3 :])
