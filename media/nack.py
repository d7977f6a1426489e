"""Which packets of a stream are missing, and when to ask for them again. Time is an argument, in seconds."""

from dataclasses import dataclass

MOST_MISSING = 200  # packets; of more only a keyframe helps
_REORDERED = 0.010  # how long a packet may merely be out of order
_RETRY = 0.040  # the least from one request to the next
_PATIENCE = 0.400  # the least from the first request to when it is given up
_ROUND_TRIPS = 3  # that patience is worth at the least
_LONGEST_ROUND_TRIP = 0.6
_AWAITED = 0.25  # seconds, the most that those after it wait for it
_ROUND_TRIPS_AWAITED = 2.5
_KEPT = 1.0  # how long after that it is still taken, if it comes


@dataclass(slots=True)
class _Gap:
    since: float
    at: float  # when to ask next, or to forget it
    asked_at: float | None = None  # first
    given_up: bool = False


class MissingPackets:
    """The gaps of one stream. Sequence numbers are 16 bits. How long an answer takes is learnt from those
    that come: from the first request, for nobody can tell which one of several was answered.
    """

    def __init__(self) -> None:
        self._highest = -1
        self._missing: dict[int, _Gap] = {}
        self._round_trip = 0.0
        self.given_up = False

    def __len__(self) -> int:
        return len(self._missing)

    def received(self, sequence: int, now: float) -> bool:
        """Note a packet; return False when it was here before (a duplicate)."""
        if self._highest < 0:
            self._highest = sequence
            return True
        ahead = (sequence - self._highest) & 0xFFFF
        if ahead == 0:
            return False
        if ahead >= 0x8000:
            return self._came_late(sequence, now)
        if len(self._missing) + ahead > MOST_MISSING:
            self._missing.clear()
            self.given_up = True
        else:
            for step in range(1, ahead):
                self._missing[(self._highest + step) & 0xFFFF] = _Gap(now, now + _REORDERED)
        self._highest = sequence
        return True

    def _came_late(self, sequence: int, now: float) -> bool:
        gap = self._missing.pop(sequence, None)
        if gap is not None and gap.asked_at is not None:
            took = min(now - gap.asked_at, _LONGEST_ROUND_TRIP)
            known = self._round_trip or took
            self._round_trip = known + (took - known) / (2 if took > known else 4)
        return gap is not None

    def is_awaited_before(self, sequence: int, now: float) -> bool:
        """Say whether one of those before a packet may come soon enough for it to wait."""
        if not self._missing:
            return False
        awaited = _AWAITED
        if self._round_trip:
            awaited = min(awaited, _ROUND_TRIPS_AWAITED * self._round_trip + _RETRY)
        for missing, gap in reversed(self._missing.items()):  # in order: the last before it is the youngest
            if (missing - sequence) & 0xFFFF >= 0x8000:
                return now - gap.since < awaited
        return False

    def due(self, now: float) -> list[int]:
        """Return what to ask for now, oldest first; what did not come in time for all that is given up."""
        asking = []
        patience = max(_PATIENCE, _ROUND_TRIPS * self._round_trip)
        for sequence, gap in list(self._missing.items()):
            if gap.at > now:
                continue
            if gap.given_up:
                del self._missing[sequence]
                continue
            gap.asked_at = now if gap.asked_at is None else gap.asked_at
            if now - gap.asked_at >= patience:
                gap.given_up = self.given_up = True
                gap.at = now + _KEPT
                continue
            gap.at = now + max(_RETRY, 1.25 * self._round_trip)
            asking.append(sequence)
        return asking
