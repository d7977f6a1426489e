"""One place of the stage: whoever stands there is the same stream to a viewer.

Joining, leaving and speaking renegotiate nothing.
"""

from dataclasses import dataclass

from media.producer import Producer
from media.sender import Sender
from media.strand import Strand

_QUALITIES = {"camera": 3, "screen": 2, "microphone": 1}


@dataclass(frozen=True, slots=True)
class Place:
    """A slot's address on the stage. `stage` is `instructor` or `student`."""

    mid: str
    stage: str
    source: str
    kind: str
    stream: str  # browsers play the tracks of one stream in step

    @property
    def ssrc(self) -> int:
        return 0x10_0000 + int(self.mid)

    @property
    def rtx_ssrc(self) -> int:
        return 0x20_0000 + int(self.mid)


def stage() -> list[Place]:
    """Return every place: the instructor's three, 3 student microphones, 6 student cameras."""
    places = [
        Place("0", "instructor", "screen", "video", "screen"),
        Place("1", "instructor", "camera", "video", "instructor"),
        Place("2", "instructor", "microphone", "audio", "instructor"),
    ]
    places += [Place(str(n), "student", "microphone", "audio", f"mic{n}") for n in range(3, 6)]
    places += [Place(str(n), "student", "camera", "video", f"cam{n}") for n in range(6, 12)]
    return places


class Slot:
    """Closed by its room. A strand for each quality its source may have, the poorest first."""

    is_seen = True

    def __init__(self, place: Place, sender: Sender) -> None:
        self.place = place
        self.producer: Producer | None = None
        self.strands = [Strand(place.kind, place.ssrc, sender) for _ in range(_QUALITIES[place.source])]

    @property
    def holder(self) -> str | None:
        """Return the participant who stands here."""
        return self.producer.owner if self.producer is not None else None

    def take(self, producer: Producer | None) -> None:
        """Put a producer on this place, or clear it."""
        self.producer = producer
        layers = producer.layers if producer is not None else []
        for n, strand in enumerate(self.strands):
            strand.take(layers[n] if n < len(layers) else None)

    def leave(self, producer: Producer) -> None:
        if self.producer is producer:
            self.take(None)

    def heard(self) -> None:
        """Who stands here needs no place."""

    def close(self) -> None:
        for strand in self.strands:
            strand.close()
