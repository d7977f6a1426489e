"""The floor is for more than the stage has places: who speaks comes on, for who has been silent longest."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from media.burst import Audience
from media.control import WorkerRefused
from media.draft import Draft, packet
from media.formats import OPUS, VP8
from media.producer import Producer
from media.slot import Slot, stage
from media.timeline import SenderClock
from media.wings import Wings
from tests.media.listeners import Listener
from tests.media.peers import MICROPHONE, ROOM, bench
from tests.voices import LOUD, QUIET, VERY_LOUD, Voice

MICROPHONES, CAMERAS = ("3", "4", "5"), tuple(str(n) for n in range(6, 12))


class Kept:
    """A sender that keeps what it is to send."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def forget(self, one: object) -> None: ...
    def finish(self, of: object) -> None: ...

    def burst(self, drafts: list[Draft], audiences: list[Audience], *, pictures: bool, of: object) -> None:
        self.packets += [packet(draft, one.shift) for one in audiences for draft in drafts]


class House:
    """A stage, and those who have the floor; `now` passes as packets of sound come."""

    def __init__(self) -> None:
        sender: Any = Kept()
        self.slots = [Slot(place, sender) for place in stage()]
        self.casts = 0
        self.wings = Wings(self.slots, self._cast)
        self.now = 100.0
        self.voices: dict[str, Producer] = {}

    def _cast(self, _came_on: Sequence[Producer]) -> None:
        self.casts += 1

    def add(
        self, owner: str, source: str = "microphone", *, staff: bool = False, rids: Sequence[str] = ()
    ) -> Producer:
        free = self.wings.places(source, staff=staff)[0]
        stand = self.wings if free.producer is not None else free
        producer = Producer(
            mid="0",
            owner=owner,
            stays=staff,
            source=source,
            payload_format=OPUS if source == "microphone" else VP8,
            payload_type=111,
            rtx_payload_type=None,
            red_payload_type=None,
            rids=rids,
            clock=SenderClock(answers=True),
            stand=stand,
            send_rtcp=lambda _packet: None,
            on_asked=lambda _count: None,
        )
        stand.take(producer)
        if source == "microphone":
            self.voices[owner] = producer
        return producer

    def talk(self, seconds: float, **levels: int) -> None:
        """Let a packet of each voice come each 20 ms; nobody else is heard."""
        for n in range(round(seconds * 50)):
            self.now += 0.02
            for owner, level in levels.items():
                self.voices[owner].hear(level, self.now)
            self.wings.tick(self.now)
            if n % 15 == 14:
                self.wings.cast(self.now)

    def on_stage(self, source: str = "microphone") -> set[str | None]:
        return {slot.holder for slot in self.slots if slot.place.source == source and slot.holder}


def test_a_free_place_goes_to_who_waits_longest() -> None:
    house = House()
    first = house.add("a")
    for owner in "bcde":
        house.add(owner)
    assert house.on_stage() == set("abc")
    first.close()
    assert house.on_stage() == set("bc")
    house.talk(0.3, b=QUIET)
    assert house.on_stage() == set("bcd")
    assert house.casts == 1


def test_who_speaks_comes_on_within_a_fifth_of_a_second_for_who_is_silent_longest() -> None:
    house = House()
    for owner in "abcd":
        house.add(owner)
    for owner in "acb":
        house.talk(2, **{owner: LOUD})
    assert house.on_stage() == set("abc"), "nobody else spoke"
    house.talk(0.2, d=LOUD)
    assert house.on_stage() == set("bcd")


def test_a_click_does_not_bring_anybody_on() -> None:
    house = House()
    for owner in "abcd":
        house.add(owner)
    house.talk(2, d=QUIET)
    house.talk(0.02, d=VERY_LOUD)
    house.talk(2, d=QUIET)
    assert house.on_stage() == set("abc")
    assert house.casts == 0


def test_of_four_who_speak_at_once_the_fourth_waits_for_a_pause_or_is_much_the_louder() -> None:
    house = House()
    for owner in "abcd":
        house.add(owner)
    house.talk(1, a=LOUD, b=LOUD, c=LOUD + 5)
    house.talk(3, a=LOUD, b=LOUD, c=LOUD + 5, d=LOUD)
    assert house.on_stage() == set("abc")
    house.talk(1.2, a=LOUD, c=LOUD + 5, d=LOUD)
    assert house.on_stage() == set("acd"), "b made a pause"
    house.talk(3, a=LOUD, b=VERY_LOUD, c=LOUD + 5, d=LOUD)
    assert house.on_stage() == set("abd"), "b is much louder than c"
    assert house.casts == 2


def test_a_muted_voice_gives_its_place_and_does_not_wait_for_one() -> None:
    house = House()
    for owner in "abcd":
        house.add(owner)
    house.talk(1, a=LOUD, b=LOUD, c=LOUD)
    house.voices["b"].pause(paused=True)
    house.talk(0.3, a=LOUD, c=LOUD)
    assert house.on_stage() == set("acd")
    house.voices["d"].close()
    house.talk(0.6, a=LOUD)
    assert house.on_stage() == set("ac")
    house.voices["b"].pause(paused=False)
    house.talk(0.3, a=LOUD)
    assert house.on_stage() == set("abc")


def test_the_last_speakers_pictures_are_on_the_stage_and_do_not_change_at_every_word() -> None:
    house = House()
    for owner in "abcdefg":
        house.add(owner)
        house.add(owner, "camera")
    for owner in "bcdefa":
        house.talk(1.5, **{owner: LOUD})
    assert house.on_stage("camera") == set("abcdef")
    house.talk(1, g=LOUD)
    assert house.on_stage("camera") == set("acdefg"), "b spoke longest ago"
    house.talk(1, b=LOUD)
    assert house.on_stage("camera") == set("abdefg"), "c did, by then"
    for _ in range(4):
        house.talk(1, c=LOUD)
        house.talk(1, d=LOUD)
    before = house.casts
    assert {"c", "d"} <= house.on_stage("camera")
    for _ in range(4):
        house.talk(1, c=LOUD)
        house.talk(1, d=LOUD)
    assert house.casts == before


def test_people_who_talk_with_pauses_between_words_keep_their_places() -> None:
    house, chance = House(), random.Random(3)
    for owner in "abcd":
        house.add(owner)
    talking = dict.fromkeys("abcd", 0)
    for _ in range(50 * 20):
        for owner in talking:
            if talking[owner] == 0:
                talking[owner] = chance.choice((1, -1)) * chance.randint(3, 12)
            talking[owner] -= 1 if talking[owner] > 0 else -1
        house.talk(0.02, **{owner: LOUD if left > 0 else QUIET for owner, left in talking.items()})
    assert house.casts <= 20, "once a second, in twenty"


def test_who_lies_about_how_loud_they_are_changes_the_stage_a_few_times_a_second_at_most() -> None:
    house = House()
    for owner in "abcde":
        house.add(owner)
    house.talk(1, a=LOUD, b=LOUD, c=LOUD)
    before = house.casts
    for _ in range(50 * 10):
        for _ in range(40):
            for liar in "de":
                house.voices[liar].hear(0 if house.voices[liar] in house.wings.waiting else 127, house.now)
        house.talk(0.02, a=LOUD, b=LOUD, c=LOUD)
    assert house.casts - before <= 3 * 10


def test_a_program_that_tells_no_level_keeps_its_place_from_who_is_no_louder() -> None:
    house = House()
    for owner in "abcd":
        house.add(owner)
    for n in range(3 * 50):
        house.voices["a"].presume_speech(house.now)
        house.talk(0.02, b=LOUD, c=LOUD, d=36 if n > 10 else QUIET)
    assert house.on_stage() == set("abc")
    assert house.voices["a"].voice.level is None, "nor is it shown as speaking all the time"
    for _ in range(3 * 50):
        house.voices["a"].presume_speech(house.now)
        house.talk(0.02, b=LOUD, c=LOUD, d=LOUD)
    assert house.on_stage() == set("bcd")


def test_staff_are_not_moved_and_get_the_place_of_a_silent_student() -> None:
    house = House()
    assistant = house.add("assistant", staff=True)
    second = house.add("second", staff=True)
    for owner in "abc":
        house.add(owner)
    house.talk(2, a=LOUD, b=LOUD, c=LOUD)
    house.talk(3, c=LOUD)
    assert {"assistant", "second", "c"} <= house.on_stage()
    third = house.add("third", staff=True)
    house.talk(0.3, c=LOUD, a=LOUD)
    assert {"assistant", "second", "third"} <= house.on_stage()
    assistant.close()
    second.close()
    third.close()
    house.talk(0.3, c=LOUD)
    assert house.on_stage() == set("abc")


def test_what_rested_while_nobody_saw_it_is_not_counted_on_until_it_comes() -> None:
    house = House()
    for owner in "abcdefg":
        house.add(owner)
        house.add(owner, "camera", rids=("q", "h", "f"))
    (waiting,) = (one for one in house.wings.waiting if one.source == "camera")
    for at in (house.now, house.now + 11):
        for layer in waiting.layers[1:]:
            layer.note_watched(at, watched=False)
    assert [layer.can_be_had(house.now) for layer in waiting.layers] == [False, True, True]
    house.talk(0.4, g=LOUD)
    assert "g" in house.on_stage("camera")
    assert not any(layer.resting or layer.can_be_had(house.now) for layer in waiting.layers)


async def test_what_waits_is_not_forwarded_and_goes_on_where_it_comes_on() -> None:
    house = House()
    for owner in "abcd":
        house.add(owner)
    kept: Any = house.slots[0].strands[0]._sender
    viewer = Listener()
    for slot in house.slots:
        if slot.place.mid in MICROPHONES:
            slot.strands[0].add(viewer)
    (layer,) = house.voices["d"].layers
    layer.on_rtp(b"unheard", 0, 5000, 0, house.now)
    assert kept.packets == []
    house.talk(0.4, d=LOUD)
    layer.on_rtp(b"heard", 0, 5001, 960, house.now)
    (packet,) = kept.packets
    assert packet[12:] == b"heard"


# A worker


async def test_ten_students_have_the_floor_and_who_speaks_is_heard(tmp_path: Path) -> None:
    names = [f"s{n}" for n in range(10)]
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("microphone",))
        await b.subscribe("teacher")
        voices = {name: Voice() for name in names}
        for name, voice in voices.items():
            await b.attach(name)
            await b.client.grant(ROOM, name, ["microphone", "camera"])
            answer = await b.client.publish(ROOM, name, voice.offer(), voice.sources)
            assert answer["refused"] == {}
            await voice.connect(answer["sdp"])

        async def shown(source: str) -> dict[str, str]:
            """Return the section each sender of a source is heard or seen in."""
            slots = [one for one in await b.client.slots(ROOM) if one["source"] == source]
            return {one["participant"]: one["mid"] for one in slots if one["participant"]}

        async def talk(name: str, seconds: float) -> None:
            for _ in range(round(seconds * 50)):
                for one, voice in voices.items():
                    voice.say(LOUD if one == name else QUIET)
                await asyncio.sleep(0.02)

        await talk("nobody", 0.5)
        assert (await shown("microphone")).keys() == {"teacher", "s0", "s1", "s2"}
        for name in ("s7", "s9"):
            await talk(name, 1.5)
            mid = (await shown("microphone"))[name]
            assert mid in MICROPHONES
            assert (await shown("camera"))[name] in CAMERAS
            heard = b.frames["teacher", mid]
            await talk(name, 1)
            assert b.frames["teacher", mid] > heard + 25
        assert (await shown("microphone"))["teacher"] == MICROPHONE
        told = [facts["speaking"] for name, facts in b.said if name == "speakers"]
        assert ["s7"] in told
        assert told[-1][0] == "s9"
        await b.client.revoke(ROOM, "s9", ["microphone"])
        assert "s9" not in await shown("microphone")
        assert "s9" in await shown("camera")
        for voice in voices.values():
            voice.close()


async def test_thirty_have_the_floor_and_who_is_beyond_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for n in range(31):
            await b.attach(f"s{n}")
        for n in range(30):
            await b.client.grant(ROOM, f"s{n}", ["microphone"])
        for sources in (["microphone"], ["camera", "microphone"], ["screen"]):
            with pytest.raises(WorkerRefused) as refusal:
                await b.client.grant(ROOM, "s30", sources)
            assert refusal.value.code == "floor_full"
        _, refused = await b.publish("s30", ("camera",))
        assert refused == {"0": "not_on_stage"}, "the refusal before kept nothing"
        await b.client.revoke(ROOM, "s0", ["microphone"])
        await b.client.grant(ROOM, "s30", ["camera", "microphone"])
