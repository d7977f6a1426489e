"""A picture let out evenly, as a thin link takes it: slides come over seconds, the sound beside them whole.

Sent as it comes, a slide of thirty packets fills the queue before a thin link, and sound is lost in it.
"""

import asyncio
import time
from collections import deque

from media.rtp import is_newer, send_time
from media.srtp import Target
from media.strand import Watcher

_EVERY = 0.02  # seconds between two looks
_AHEAD = 0.05  # seconds' worth that may leave at once
_LONGEST = 10.0  # seconds' worth that may wait: what shows after that is of long ago
_TIME_AT = 12 + 5  # where the time of sending stands in a packet of ours, three bytes


class Trickle:
    """Between a view and its viewer's connection. What waits is in the order of its numbers, and none of them
    has left. Closed by the connection.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._rate = 0.0  # bits per second; 0: everything leaves as it comes
        self._waiting: deque[bytes] = deque()
        self._bits = 0
        self._newest: int | None = None  # number that has left
        self._ends_frame = True  # what was sent last
        self._frames = 0  # that have left since the last cut
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_on(self) -> bool:
        return self._rate > 0

    @property
    def unsent(self) -> bytes | None:
        return self._waiting[0] if self._waiting else None

    @property
    def is_late(self) -> bool:
        """Say whether more comes than is let out, and something of it has been seen."""
        return self._frames > 0 and self._bits > _LONGEST * self._rate > 0

    def hold(self, rate: float, last: int | None) -> None:
        """Let so many bits a second out from now on; `last` is the newest number that was sent so far."""
        if not self._rate:
            self._newest, self._ends_frame = last, True
        self._rate = rate

    def release(self) -> None:
        """Let everything out as it comes. What waits is to be cut before."""
        self._rate = 0.0

    def cut(self) -> bool:
        """Send nothing of what waits; say whether what was sent before that ended a frame."""
        self._waiting.clear()
        self._bits = self._frames = 0
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
        if not self._rate or (self._newest is not None and not is_newer(_number(packet), self._newest)):
            self._watcher.send_rtp(packet)  # what comes late must not wait behind what came after it
            return
        self._bits += 8 * len(packet)
        at = len(self._waiting)
        while at and is_newer(_number(self._waiting[at - 1]), _number(packet)):
            at -= 1
        self._waiting.insert(at, packet)
        if self._timer is None:
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        self._free_at = max(self._free_at, now - _EVERY)
        self._timer = None
        while self._waiting and self._rate and self._free_at < now + _AHEAD:
            packet = self._waiting.popleft()
            self._bits -= 8 * len(packet)
            self._free_at += 8 * len(packet) / self._rate
            self._newest, self._ends_frame = _number(packet), bool(packet[1] & 0x80)
            self._frames += self._ends_frame
            # Its time of sending is now, or it would look as if the link had held it up.
            sent_at = send_time(time.monotonic())[-3:]
            self._watcher.send_rtp(packet[:_TIME_AT] + sent_at + packet[_TIME_AT + 3 :])
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._look)


def _number(packet: bytes) -> int:
    return packet[2] << 8 | packet[3]
