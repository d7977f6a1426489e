"""What is on the stage now, reckoned once for everybody who watches."""

from collections.abc import Sequence
from dataclasses import dataclass

from media.allocation import NOMINAL
from media.formats import Format
from media.producer import Producer
from media.slot import Slot

_HEADERS = 20_000  # bits per second that fifty packets take besides what is in them
PINNED = 1  # the rank of the picture a viewer has pinned
_LEAST_SHARE = (
    1 / 3
)  # of what is usual, that a quality is taken to cost: a screen that stands still will move


@dataclass(frozen=True, slots=True)
class Picture:
    """A place that shows something. The lowest rank is the first in importance.

    By quality, the poorest first: bits per second, None when it cannot be had, and the shorter side in
    pixels, None when it is not known.
    """

    slot: Slot
    payload_format: Format
    rank: int
    rates: Sequence[float | None]
    heights: Sequence[int | None]

    def rate(self, quality: int | None) -> float:
        """Return what is sent of it; None is nothing."""
        return (self.rates[quality] or 0.0) if quality is not None else 0.0


@dataclass(frozen=True, slots=True)
class Programme:
    """`sound` is what all voices together take without older frames, `best` the stage at its best, in bits
    per second.

    Of two programmes with one `shape` the same places show the same qualities.
    """

    pictures: Sequence[Picture] = ()
    voices: Sequence[Slot] = ()
    sound: float = 0.0
    best: float = 0.0
    shape: object = None


def programme(slots: Sequence[Slot], speaking: Sequence[str], now: float) -> Programme:
    """Look over the stage. `speaking` are participants, the loudest first."""
    pictures, voices, sound = [], [], 0.0
    for n, slot in enumerate(slots):
        producer = slot.producer
        if producer is None or producer.paused:
            continue
        if slot.place.kind == "audio":
            voices.append(slot)
            sound += producer.layers[0].rate + _HEADERS
        else:
            heights = [min(layer.size) if layer.size is not None else None for layer in producer.layers]
            rank, rates = _rank(n, slot, speaking), _rates(producer, now)
            pictures.append(Picture(slot, producer.payload_format, rank, rates, heights))
    best = sound + sum(max(rate or 0.0 for rate in one.rates) for one in pictures)
    shape = [
        (
            one.slot.holder,
            one.payload_format.name,
            one.rank,
            [rate is None for rate in one.rates],
            one.heights,
        )
        for one in pictures
    ]
    return Programme(
        pictures, voices, sound, best, (shape, [(slot.place.mid, slot.holder) for slot in voices])
    )


def _rank(n: int, slot: Slot, speaking: Sequence[str]) -> int:
    """The screen, whom a viewer has pinned, the teacher, who speaks, the rest."""
    if slot.place.stage == "instructor":
        return 0 if slot.place.source == "screen" else 2
    if slot.holder in speaking:
        return 10 + speaking.index(slot.holder)
    return 100 + n


def _rates(producer: Producer, now: float) -> list[float | None]:
    usual = NOMINAL[producer.source]
    if len(producer.layers) == 1:
        usual = usual[-1:]
    rates = [
        max(layer.rate, _LEAST_SHARE * usually) if layer.can_be_had(now) else None
        for layer, usually in zip(producer.layers, usual, strict=False)
    ]
    if all(rate is None for rate in rates):
        rates[0] = _LEAST_SHARE * usual[0]  # nothing has come yet: it will
    return rates
