"""What is on the stage, and in what order a link's bits go to it."""

from typing import Any
from unittest.mock import Mock

from media.formats import VP8
from media.programme import PINNED, programme
from media.slot import Slot, stage


def _shows(slot: Slot, owner: str) -> None:
    layer = Mock(rate=100_000.0, size=(320, 180))
    slot.producer = Mock(
        owner=owner, paused=False, source=slot.place.source, payload_format=VP8, layers=[layer]
    )


def test_the_screen_comes_first_then_whom_one_pinned_the_teacher_who_speaks_and_the_rest() -> None:
    nobody: Any = Mock()
    slots = {place.mid: Slot(place, nobody) for place in stage()}
    for mid, owner in (("0", "teacher"), ("1", "teacher"), ("6", "a"), ("7", "b"), ("8", "c"), ("9", "d")):
        _shows(slots[mid], owner)
    rank = {
        picture.slot.place.mid: picture.rank
        for picture in programme(list(slots.values()), ["d", "b", "teacher"], 0.0).pictures
    }
    assert sorted(rank, key=rank.__getitem__) == ["0", "1", "9", "7", "6", "8"]
    assert rank["0"] < PINNED < rank["1"]
