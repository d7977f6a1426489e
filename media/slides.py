"""A viewer's view of a shared screen, which over a thin link is let out evenly."""

from media.slot import Slot
from media.strand import Watcher
from media.trickle import Trickle
from media.view import View


class Slides(View):
    """Closed by its connection."""

    def __init__(self, slot: Slot, watcher: Watcher) -> None:
        self._trickle = Trickle(watcher)
        super().__init__(slot, self._trickle)

    @property
    def are_held(self) -> bool:
        """Say whether they are let out more slowly than they come."""
        return self._trickle.is_on

    @property
    def are_coming(self) -> bool:
        """Say whether something waits to be let out."""
        return self._trickle.unsent is not None

    def hold(self, rate: float) -> None:
        """Let so many bits a second out from now on."""
        if self._trickle.is_late:  # what waits is of long ago: a keyframe is better
            self.begin_anew()
        was_held = self.are_held
        self._trickle.hold(rate, self.last)
        if not was_held and self.strand is not None:
            self.strand.regroup()

    def release(self) -> None:
        """Let them out as they come; of what waits nothing, for it would come at once."""
        if self.are_coming:
            self.begin_anew()
        self._trickle.release()
        if self.strand is not None:
            self.strand.regroup()

    def close(self) -> None:
        self.stop()
        self._trickle.close()
