"""How well a room's students received it, summed up over all of them until somebody takes the sums."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class Viewing:
    """In seconds of one student each: that they were sent media, that some picture came poorer than their
    page had use for, and that were lost (a second of which a tenth was lost is a tenth).
    """

    seconds: float = 0.0
    reduced: float = 0.0
    lost: float = 0.0

    def note(self, seconds: float, *, is_reduced: bool, loss: float) -> None:
        self.seconds += seconds
        self.reduced += seconds * is_reduced
        self.lost += seconds * loss

    def take(self) -> dict[str, Any]:
        """Return the sums, and begin anew."""
        taken = asdict(self)
        self.seconds = self.reduced = self.lost = 0.0
        return taken
