"""Which packets of a stream are missing, and when to ask for them again. Time is an argument."""

MOST_MISSING = 200  # packets; of more only a keyframe helps
_MOST_ASKED = 10
_PATIENCE = 0.010  # seconds a packet may merely be out of order
_RETRY = 0.040


class MissingPackets:
    """The gaps of one stream. Sequence numbers are 16 bits; times are seconds."""

    def __init__(self) -> None:
        self._highest = -1
        self._missing: dict[int, tuple[float, int]] = {}  # sequence -> (ask at, asked)
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
            return self._missing.pop(sequence, None) is not None
        if len(self._missing) + ahead > MOST_MISSING:
            self._missing.clear()
            self.given_up = True
        else:
            for step in range(1, ahead):
                self._missing[(self._highest + step) & 0xFFFF] = (now + _PATIENCE, 0)
        self._highest = sequence
        return True

    def due(self, now: float, round_trip: float = 0.0) -> list[int]:
        """Return what to ask for now, at most ten times each, oldest first."""
        asking = []
        for sequence, (at, asked) in list(self._missing.items()):
            if at > now:
                continue
            if asked >= _MOST_ASKED:
                del self._missing[sequence]
                self.given_up = True
                continue
            self._missing[sequence] = (now + max(_RETRY, round_trip), asked + 1)
            asking.append(sequence)
        return asking
