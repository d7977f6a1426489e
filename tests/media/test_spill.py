"""A room with more viewers than one worker carries: the rest watch at another, and nobody notices."""

import asyncio
from pathlib import Path

import pytest

from media.control import WorkerRefused
from media.pipe import Outlet
from tests.builders import until
from tests.media.peers import ROOM, Bench, two_workers

CAMERA, MICROPHONE, STUDENT_CAMERA = "1", "2", "6"


async def _class(one: Bench, *students: str) -> None:
    await one.attach("teacher", staff=True)
    await one.publish("teacher", ("microphone", "camera"))
    for name in students:
        await one.attach(name)
        await one.subscribe(name)


async def _sees(one: Bench, name: str, mid: str = CAMERA, frames: int = 30) -> None:
    before = one.frames[name, mid]
    await until(lambda: one.frames[name, mid] > before + frames, 20)


async def test_who_is_too_many_watches_at_the_other_worker(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, _):
        await _class(one, "a", "b", "c")
        assert (await two.client.stats())["participants"] == 2
        assert (await two.client.stats())["mirrors"] == 1
        assert await two.client.occupants() == {}, "the room is the first one's"
        for name in ("a", "b", "c"):
            await _sees(one, name)
            await _sees(one, name, MICROPHONE)
            silent = await one.client.silent_for(ROOM, name)
            assert silent is not None
            assert silent < 6

        # Whoever comes onto the stage is seen there as well, from anywhere, and is not sent themselves.
        await one.client.grant(ROOM, "b", ["camera"])
        await one.publish("b", ("camera",))
        for name in ("a", "c"):
            await _sees(one, name, STUDENT_CAMERA)
        assert not one.frames["b", STUDENT_CAMERA]
        await one.client.revoke(ROOM, "b", ["camera"])
        await asyncio.sleep(0.4)
        seen = one.frames["c", STUDENT_CAMERA]
        await asyncio.sleep(1)
        assert one.frames["c", STUDENT_CAMERA] <= seen + 2

        # A muted teacher is heard nowhere, and everywhere again afterwards.
        await one.client.mute(ROOM, "teacher", "camera", muted=True)
        await asyncio.sleep(0.4)
        seen = one.frames["b", CAMERA]
        await asyncio.sleep(1)
        assert one.frames["b", CAMERA] <= seen + 2
        await one.client.mute(ROOM, "teacher", "camera", muted=False)
        await _sees(one, "b")

        # Who is put out gets nothing any more, there neither.
        await one.client.detach(ROOM, "b", fence=one.rank)
        await asyncio.sleep(0.4)
        seen = one.frames["b", MICROPHONE]
        await asyncio.sleep(0.7)
        assert one.frames["b", MICROPHONE] <= seen + 2
        assert (await two.client.stats())["participants"] == 1
        await one.client.close_room(ROOM)
        await until(lambda: not two.worker._mirrors, 5)
        assert (await two.client.stats())["participants"] == 0


async def test_what_a_pipe_loses_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send, count, is_lossy = Outlet.send, 0, False

    def lossy(self: Outlet, message: bytes) -> None:
        nonlocal count
        count += is_lossy
        if not is_lossy or count % 12:
            send(self, message)

    monkeypatch.setattr(Outlet, "send", lossy)

    async with two_workers(tmp_path) as (one, _, _):
        await _class(one, "a", "b")
        await _sees(one, "b")
        is_lossy, seen = True, {name: one.frames[name, CAMERA] for name in ("a", "b")}
        await asyncio.sleep(4)
        assert count > 100
        assert one.frames["b", CAMERA] - seen["b"] > 0.9 * (one.frames["a", CAMERA] - seen["a"])


async def test_viewers_of_a_worker_that_dies_are_told_and_come_back(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, stop):
        await _class(one, "a", "b")
        await _sees(one, "b")
        (gone,) = [
            o.elsewhere.connection for o in one.worker._rooms[ROOM].participants.values() if o.elsewhere
        ]
        stop.set()
        told = {"room": ROOM, "participant": "b", "id": gone, "kind": "subscribe", "state": "closed"}
        await until(lambda: ("transport", told) in one.said, 5)
        await until(lambda: not two.client.connected, 5)
        await one.subscribe("b")  # nobody else is there: it is carried here
        await _sees(one, "b")


async def test_a_room_whose_worker_is_gone_is_mirrored_no_longer(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, _):
        await _class(one, "a", "b")
        await _sees(one, "b")
        # The web processes give the class to the second worker: there it is a room like any other.
        await two.client.attach(ROOM, "b", staff=False, device="d", fence=99)
        assert (await two.client.stats())["mirrors"] == 0
        assert await two.client.occupants() == {ROOM: {"b": 99}}
        with pytest.raises(WorkerRefused, match="not_attached"):
            await one.client.view(ROOM, "nobody", {}, limit=None)


async def test_no_pipe_is_kept_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.spill._SECONDS_UNUSED", 1.0)
    async with two_workers(tmp_path) as (one, two, _):
        await _class(one, "a", "b")
        await asyncio.sleep(1.5)
        assert (await two.client.stats())["mirrors"] == 1
        await one.client.detach(ROOM, "b", fence=one.rank)
        await until(lambda: not two.worker._mirrors, 5)
        await one.attach("c")
        await one.subscribe("c")
        await _sees(one, "c")
