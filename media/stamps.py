"""The timestamps of a strand: its layer's, moved to the one line of time."""

import time

from media.timeline import SenderClock, Timeline, ntp, signed

STEP = 90  # the least from one picture to the next: a millisecond
_STEPS = {"video": STEP, "audio": 960}  # sound that overlaps what was played is thrown away
_LATE = 10.0  # seconds after a move, when no packet comes any more that was sent before it
_FAR = 1.0  # seconds; who is farther from the line is not moved: our reports tell where it is
_MOST_MOVES = 64  # of one stream; our reports tell of what is missing then
_FUTURE = 5.0  # seconds; who is farther ahead of what can arrive begins anew
_OBSOLETE = 10.0  # seconds; a receiver takes what lies farther back for something new, other sound for old


class Stamps:
    """A stream that begins before its sender's first report counts as captured when it arrives. Once the
    report is there, pictures are moved to where they belong, in steps, for time goes on from each to the
    next. Sound stays where it began, since to move it would tear it; our own reports tell where that is.
    """

    def __init__(self, kind: str, rate: int) -> None:
        self._rate = rate
        self._step = _STEPS[kind]
        self._stays = kind == "audio"
        self._timeline = Timeline(rate, SenderClock(answers=False))  # of nobody
        self._shift = 0
        self._is_moved = False
        self._newest = 0  # of the layer's timestamps
        self._before: list[tuple[int, int]] = []  # the shifts it had, each until which timestamp
        self.last = round(time.monotonic() * rate) & 0xFFFFFFFF

    def begin(self, timeline: Timeline | None, timestamp: int, now: float) -> None:
        """A stream begins, or goes on, with a packet of this timestamp: where it belongs, if that is near
        what arrives now, and after the last one, unless that was far ahead.
        """
        self._timeline = timeline or Timeline(self._rate, SenderClock(answers=False))
        stamp = self._timeline.arriving(now)
        if self._timeline.shift is not None:
            missing = signed(timestamp + self._timeline.shift - stamp)
            stamp += missing if self._is_near(missing) else 0
        early = signed(self.last + self._step - stamp)
        stamp += early if 0 < early < _OBSOLETE * self._rate else 0
        self._start(timestamp, stamp)

    def _start(self, timestamp: int, stamp: int) -> None:
        self._shift = (stamp - timestamp) & 0xFFFFFFFF
        self._newest, self._is_moved = (timestamp - 1) & 0xFFFFFFFF, self._stays
        self._before.clear()
        self.last = (stamp - 1) & 0xFFFFFFFF

    def of(self, timestamp: int, now: float) -> int:
        """Return the stamp of a packet that came now, the same for all of a frame."""
        if signed(timestamp - self._newest) > 0:
            latest = self._timeline.latest(now)
            ahead = signed(timestamp + self._shift - latest)
            if ahead > _FUTURE * self._rate:  # what comes after it would have to wait
                self._start(timestamp, self.last + max(self._step, signed(latest - self.last)))
            elif not self._is_moved:
                self._move(timestamp)
            if self._before and signed(timestamp - self._before[-1][1]) > _LATE * self._rate:
                self._before.clear()
            self._newest = timestamp
            self.last = (timestamp + self._shift) & 0xFFFFFFFF
            return self.last
        return (timestamp + self._shift_of(timestamp)) & 0xFFFFFFFF

    def _is_near(self, ticks: int) -> bool:
        return abs(ticks) < _FAR * self._rate

    def _move(self, timestamp: int) -> None:
        """Move to the line from this frame on, as far as it goes.

        One that comes after this and was captured before it is taken for one of those to come.
        """
        if self._timeline.shift is None:
            return
        missing = signed(self._timeline.shift - self._shift)
        if not self._is_near(missing) or len(self._before) == _MOST_MOVES:
            self._is_moved = True
            return
        room = signed(timestamp + self._shift - self.last - self._step)
        move = max(missing, -max(0, room))
        self._is_moved = move == missing
        if move:
            self._before.append((self._shift, self._newest))
            self._shift = (self._shift + move) & 0xFFFFFFFF

    def _shift_of(self, timestamp: int) -> int:
        for shift, until in self._before:
            if signed(timestamp - until) <= 0:
                return shift
        return self._shift

    def clock(self, now: float) -> tuple[int, int] | None:
        """Return this moment in NTP time (32.32) and as a stamp; None as long as nothing was reported."""
        if self._timeline.shift is None or not self._is_moved:
            return None
        missing = signed(self._timeline.shift - self._shift)
        return ntp(now), (round(now * self._rate) - missing) & 0xFFFFFFFF
