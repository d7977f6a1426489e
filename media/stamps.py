"""The timestamps of a strand: its layer's, moved to the one line of time."""

import time

from media.timeline import Timeline, signed

STEP = 90  # the least from one frame to the next: a millisecond of a picture's clock, two of sound's
_LATE = 10.0  # seconds after a move, when no packet comes any more that was sent before it
_NEAR = 0.03  # seconds; a stream that was moved is moved again when it is off by more
_MOST_MOVED = 1.0  # seconds; what is off by more, or after
_MOST_STEPS = 64  # is still off, our own reports tell of


class Stamps:
    """A stream that begins before its sender's first report counts as captured when it arrives. Once the
    report is there, it is moved to where it belongs, in steps, for time goes on from frame to frame.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._timeline: Timeline | None = None
        self._shift = 0
        self._heard: int | None = None  # the timeline's shift that was acted on
        self._is_moved = False
        self._newest = 0  # of the layer's timestamps
        self._before: list[tuple[int, int]] = []  # until which timestamp it had another shift, and that
        self.last = round(time.monotonic() * rate) & 0xFFFFFFFF

    def begin(self, timeline: Timeline | None, timestamp: int, now: float) -> None:
        """A stream begins, or goes on, with a packet of this timestamp."""
        stamp = timeline.stamp(now) if timeline is not None else round(now * self._rate)
        stamp = self.last + max(STEP, signed(stamp - self.last))
        self._timeline, self._shift = timeline, (stamp - timestamp) & 0xFFFFFFFF
        self._newest, self._heard, self._is_moved = (timestamp - 1) & 0xFFFFFFFF, None, False
        self._before.clear()

    def of(self, timestamp: int) -> int:
        """Return the stamp of a packet, the same for all of a frame, however late."""
        timeline = self._timeline
        if timeline is not None and timeline.shift != self._heard and signed(timestamp - self._newest) > 0:
            self._move(timestamp, timeline.shift)
        shift = self._shift
        if self._before:
            shift = self._shift_of(timestamp)
        stamp = (timestamp + shift) & 0xFFFFFFFF
        if signed(stamp - self.last) > 0:
            self._newest, self.last = timestamp, stamp
        return stamp

    def _move(self, timestamp: int, told: int | None) -> None:
        """Move to the line from this frame on, as far as it goes."""
        if told is None:
            return
        missing = signed(told - self._shift)
        far = abs(missing) > _MOST_MOVED * self._rate or len(self._before) == _MOST_STEPS
        if far or (self._is_moved and abs(missing) < _NEAR * self._rate):
            self._heard, self._is_moved = told, True
            return
        room = signed(timestamp + self._shift - self.last - STEP)
        step = max(missing, -max(0, room))
        if step:
            self._before.append((self._newest, self._shift))
            self._shift = (self._shift + step) & 0xFFFFFFFF
        if step == missing:
            self._heard, self._is_moved = told, True

    def _shift_of(self, timestamp: int) -> int:
        for until, shift in self._before:
            if signed(timestamp - until) <= 0:
                return shift
        if signed(timestamp - self._before[-1][0]) > _LATE * self._rate:
            self._before.clear()
        return self._shift

    def clock(self, now: float) -> tuple[int, int] | None:
        """Return this moment in NTP time (32.32) and as a stamp; None as long as nothing was reported."""
        timeline = self._timeline
        if timeline is None or timeline.shift is None or not self._is_moved:
            return None
        ntp, stamp = timeline.clock(now)
        return ntp, (stamp - signed(timeline.shift - self._shift)) & 0xFFFFFFFF
