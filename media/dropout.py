"""A quality that its sender leaves out, found by the poorer ones that go on.

A browser whose link has become thin stops its best quality from one picture to the next, and tells nobody.
Who watched it would see nothing until it is known to be gone.
"""

from collections.abc import Sequence

_PICTURES = 6  # of a poorer quality, beside which not a packet of this one came
_PROVED = 3.0  # seconds for which it comes again before it is worth a change, and twice as many each time
_MOST_PROVED = 24.0
_STABLE = 30.0  # seconds of it, after which that begins anew


class Dropout:
    """Of one quality of a source."""

    def __init__(self) -> None:
        self.is_out = False
        self._packets = 0
        self._before: Sequence[int] = ()
        self._again_at: float | None = None
        self._proof = _PROVED
        self._back_at = float("-inf")

    def note(self, packets: int, poorer: Sequence[int], now: float) -> None:
        """Take how many packets of it came so far, and how many pictures of each of the poorer ones."""
        if packets != self._packets:
            self._packets, self._before = packets, poorer
            if self.is_out:
                self._again_at = self._again_at or now
                if now - self._again_at >= self._proof:
                    self.is_out, self._back_at = False, now
        elif packets and self._missed(poorer) >= _PICTURES:
            self._again_at = None
            if not self.is_out:
                self.is_out = True
                soon = now - self._back_at < _STABLE
                self._proof = min(2 * self._proof, _MOST_PROVED) if soon else _PROVED

    def _missed(self, poorer: Sequence[int]) -> int:
        return max((now - then for now, then in zip(poorer, self._before, strict=True)), default=0)
