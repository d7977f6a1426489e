"""Who has the floor and finds no place on the stage: they come on when they speak.

The stage has a few places for students' voices and pictures, the floor is for more. A place that is free
goes to whoever waits. Then who speaks is given the place of whose voice was heard longest ago, if that is a
while; a voice also that of one which has been much quieter. So viewers get the loudest few voices and the
last few speakers' pictures, and nothing is negotiated for it. Staff are not moved, and need not speak. Time
is an argument.
"""

from collections.abc import Callable, Mapping, Sequence

from media.producer import Producer
from media.slot import Slot

_SPEAKING = 0.5  # seconds after their last loud packet somebody still counts as speaking
_PATIENCE = {"microphone": 1.0, "camera": 5.0}  # seconds of silence after which a place may be taken
_LOUDER = 6.0  # decibels by which a voice must be louder than one that is not silent
_SETTLED = 2.0  # seconds a place is not taken from who is only quieter
_SECONDS_BETWEEN = 0.1
_NEVER = float("-inf")


class _Dark:
    """What is forwarded here nobody sees."""

    def forward(self, payload: bytes, marker: int, sequence: int, timestamp: int, *, red: bool) -> None: ...
    def resync(self) -> None: ...
    def finish(self) -> None: ...


class Wings:
    """Of one room. `on_cast` is told who has come on."""

    strands = (_Dark(),) * 3
    is_seen = False

    def __init__(self, slots: Sequence[Slot], on_cast: Callable[[Sequence[Producer]], None]) -> None:
        self.waiting: dict[Producer, None] = {}
        self._slots = slots
        self._on_cast = on_cast
        self._taken_at: dict[Producer, float] = {}  # when who stands on the stage by a cast came on
        self._somebody_speaks = False
        self._cast_at = _NEVER

    def take(self, producer: Producer) -> None:
        self.waiting[producer] = None

    def leave(self, producer: Producer) -> None:
        self.waiting.pop(producer, None)

    def heard(self) -> None:
        """Somebody who waits speaks."""
        self._somebody_speaks = True

    def tick(self, now: float) -> None:
        """Every 20 ms: cast anew when somebody speaks who waits, if that is not too soon."""
        if self._somebody_speaks and now - self._cast_at >= _SECONDS_BETWEEN:
            self.cast(now)

    def cast(self, now: float) -> None:
        """Give places to those who wait and should be on the stage."""
        self._somebody_speaks, self._cast_at = False, now
        if not self.waiting:
            return
        spoke_at = self._spoke_at()
        came_on = []
        for source in _PATIENCE:
            waiting = [one for one in self.waiting if one.source == source and not one.paused]
            waiting.sort(key=lambda one: (not one.stays, -spoke_at.get(one.owner, _NEVER)))
            for producer in waiting:
                slot = self._place_for(producer, spoke_at, now)
                if slot is None:
                    continue
                if slot.producer is not None:
                    slot.producer.move(self)
                producer.move(slot)
                self._taken_at[producer] = now
                came_on.append(producer)
        shown = {slot.producer for slot in self._slots}
        self._taken_at = {one: at for one, at in self._taken_at.items() if one in shown}
        if came_on:
            self._on_cast(came_on)

    def _place_for(self, producer: Producer, spoke_at: Mapping[str, float], now: float) -> Slot | None:
        held: list[tuple[float, Producer, Slot]] = []
        for slot in self.places(producer.source, staff=producer.stays):
            other = slot.producer
            if other is None:
                return slot
            if other.stays:
                continue
            if other.paused:
                return slot
            seen_at = max(spoke_at.get(other.owner, _NEVER), self._taken_at.get(other, _NEVER))
            held.append((seen_at, other, slot))
        if not held or not (producer.stays or now - spoke_at.get(producer.owner, _NEVER) < _SPEAKING):
            return None
        seen_at, _, slot = min(held, key=lambda one: one[0])
        if producer.stays or now - seen_at > _PATIENCE[producer.source]:
            return slot
        if producer.source == "microphone":
            _, quietest, slot = max(held, key=lambda one: one[1].voice.loudness)
            is_settled = now - self._taken_at.get(quietest, _NEVER) > _SETTLED
            if is_settled and producer.voice.loudness + _LOUDER < quietest.voice.loudness:
                return slot
        return None

    def places(self, source: str, *, staff: bool = False) -> list[Slot]:
        """Return the places a source may get, the instructor's first, and free ones before others."""
        stages = ("instructor", "student") if staff else ("student",)
        places = [one for one in self._slots if one.place.source == source and one.place.stage in stages]
        return sorted(places, key=lambda one: one.producer is not None)

    def _spoke_at(self) -> dict[str, float]:
        """Return when each participant's voice was last heard."""
        found: dict[str, float] = {}
        shown = [slot.producer for slot in self._slots if slot.producer is not None]
        for one in (*shown, *self.waiting):
            if one.source == "microphone":
                found[one.owner] = max(one.voice.spoke_at, found.get(one.owner, _NEVER))
        return found
