"""Who has the floor and finds no place on the stage: they come on when they speak.

The stage has a few places for students' voices and pictures, the floor is for more. A place that is free
goes to whoever waits. Then a voice is given the place of who has been silent, or is much the quieter; a
picture that of whose voice was heard longest ago. So viewers get the loudest few voices and the last few
speakers' pictures, and nothing is negotiated for it. Time is an argument.
"""

from collections.abc import Callable, Sequence

from media.producer import Producer
from media.slot import Slot

_SPEAKING = 0.5  # seconds after their last loud packet somebody still counts as speaking
_PATIENCE = {"microphone": 1.0, "camera": 5.0}  # seconds of silence after which a place may be taken
_LOUDER = 6.0  # decibels by which a voice must be louder than one that is not silent


class _Dark:
    """What is forwarded here nobody sees."""

    def forward(self, payload: bytes, marker: int, sequence: int, timestamp: int, *, red: bool) -> None: ...
    def resync(self) -> None: ...


class Wings:
    """Of one room. `on_cast` is told when who stands where has changed."""

    strands = (_Dark(),) * 3

    def __init__(self, slots: Sequence[Slot], on_cast: Callable[[], None]) -> None:
        self.waiting: dict[Producer, None] = {}
        self._slots = slots
        self._on_cast = on_cast

    def take(self, producer: Producer) -> None:
        self.waiting[producer] = None

    def leave(self, producer: Producer) -> None:
        self.waiting.pop(producer, None)

    def heard(self, now: float) -> None:
        """Somebody who waits speaks."""
        self.cast(now)

    def cast(self, now: float) -> None:
        """Give places to those who wait and should be on the stage."""
        before = dict(self.waiting)
        for source in _PATIENCE:
            waiting = [one for one in self.waiting if one.source == source and not one.paused]
            for producer in sorted(waiting, key=self._spoke_at, reverse=True):
                slot = self._place_for(producer, now)
                if slot is None:
                    break
                if slot.producer is not None:
                    slot.producer.move(self)
                producer.move(slot)
        if self.waiting.keys() != before.keys():
            self._on_cast()

    def _place_for(self, producer: Producer, now: float) -> Slot | None:
        places = self.places(producer.source)
        held: list[tuple[Producer, Slot]] = []
        for slot in places:
            if slot.producer is None or slot.producer.paused:
                return slot
            held.append((slot.producer, slot))
        if now - self._spoke_at(producer) > _SPEAKING:
            return None
        longest, slot = min(held, key=lambda one: self._spoke_at(one[0]))
        if now - self._spoke_at(longest) > _PATIENCE[producer.source]:
            return slot
        if producer.source == "microphone":
            quietest, slot = max(held, key=lambda one: one[0].loudness)
            if producer.loudness + _LOUDER < quietest.loudness:
                return slot
        return None

    def places(self, source: str) -> list[Slot]:
        """Return the places that who has the floor may get for a source, the free ones first."""
        places = [one for one in self._slots if (one.place.stage, one.place.source) == ("student", source)]
        return sorted(places, key=lambda one: one.producer is not None)

    def _spoke_at(self, producer: Producer) -> float:
        """Return when a voice was last heard, or of a picture its owner's."""
        if producer.source == "microphone":
            return producer.spoke_at
        heard = (one.spoke_at for one in self.voices() if one.owner == producer.owner)
        return max(heard, default=float("-inf"))

    def voices(self) -> list[Producer]:
        """Return all microphones, those on the stage and those that wait."""
        shown = [slot.producer for slot in self._slots if slot.producer is not None]
        return [one for one in (*shown, *self.waiting) if one.source == "microphone"]
