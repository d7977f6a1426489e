"""Several media workers: classes go to the least loaded, every process knows where; a dead one's move."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import redis.asyncio

from liveserver.config import Running
from liveserver.models.hosts import Host
from media.control import WorkerClient, WorkerGone
from signaling.rooms import Rooms
from signaling.workers import Workers
from tests.builders import School, until
from tests.product import UNHURRIED, Product


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    """A product with two web processes and two workers."""
    settings = {**UNHURRIED, "LIVE_MEDIA__WORKERS": "2"}
    with Product(tmp_path / "state", processes=2, settings=settings) as product:
        async with aiohttp.ClientSession() as client:
            made = await School.open(product, client)
            yield made
            await made.close()


@contextlib.asynccontextmanager
async def _workers(school: School) -> AsyncIterator[list[WorkerClient]]:
    running = Running.model_validate_json((school.product.state / "run.json").read_text())
    clients = [
        WorkerClient(str(running.control_socket(n)), lambda _name, _facts: None, lambda: None)
        for n in range(running.workers)
    ]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    for client in clients:
        await client.ready(10)
    try:
        yield clients
    finally:
        for task in tasks:
            task.cancel()


async def _rooms(workers: list[WorkerClient]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for worker in workers:
        try:
            found.append(await worker.occupants())
        except WorkerGone:
            found.append({})
    return found


async def test_classes_go_to_the_least_loaded_and_every_process_knows_where(school: School) -> None:
    sessions = []
    async with _workers(school) as workers:
        for _ in range(4):
            teacher, students = await school.register("instructor"), [await school.register() for _ in "ab"]
            course = await school.course(teacher)
            await school.enroll(students, course)
            session = await school.session(teacher, course)
            sessions.append(session)
            for process, one in enumerate(students):
                await school.enter(one, session, process=process)
        found = await _rooms(workers)
        assert [len(rooms) for rooms in found] == [2, 2]
        assert {room: len(people) for rooms in found for room, people in rooms.items()} == dict.fromkeys(
            sessions, 2
        )
        # A Redis that forgets where the classes are moves none of them.
        running = Running.model_validate_json((school.product.state / "run.json").read_text())
        async with redis.asyncio.from_url(running.redis_url, decode_responses=True) as store:
            keys = [f"room:{session}:worker" for session in sessions]
            placed = await store.mget(keys)
            assert sorted(map(str, placed)) == ["0", "0", "1", "1"]
            await store.delete(*keys)
            for _ in range(100):
                if None not in await store.mget(keys):
                    break
                await asyncio.sleep(0.1)
            assert await store.mget(keys) == placed
        assert await _rooms(workers) == found


async def test_a_class_goes_to_another_worker_when_its_own_does_not_come_back(school: School) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    there = await school.enter(teacher, session, process=0)
    here = await school.enter(student, session, process=1)
    async with _workers(school) as workers:
        (index,) = [n for n, rooms in enumerate(await _rooms(workers)) if session in rooms]
        deadline, killed = time.monotonic() + 20, 0
        while not (there.heard("media.lost") and here.heard("media.lost")):
            assert time.monotonic() < deadline
            process = school.product.media_worker(index)
            if process is not None:
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    killed += 1
            await asyncio.sleep(0.02)
        assert killed
        other = 1 - index
        assert set((await _rooms(workers))[other].get(session, {})) == {teacher.id, student.id}
        # Their seats are the same, and they negotiate anew.
        status = (await school.call("GET", f"/api/live-sessions/{session}/status", teacher)).body
        assert status["seats"]["taken"] == 1
        assert (await here.ask("media.subscribe", {"restart": False}))["ok"]["sdp"]
        # The worker that came back late has nothing of it.
        await until(lambda: workers[index].connected, 20)
        await asyncio.sleep(6)
        assert session not in (await _rooms(workers))[index]
        assert set((await _rooms(workers))[other][session]) == {teacher.id, student.id}


async def test_a_worker_that_hangs_is_started_again(school: School) -> None:
    teacher = await school.register("instructor")
    session = await school.session(teacher, await school.course(teacher))
    there = await school.enter(teacher, session)
    async with _workers(school) as workers:
        (index,) = [n for n, rooms in enumerate(await _rooms(workers)) if session in rooms]
        process = school.product.media_worker(index)
        assert process is not None
        process.suspend()
        await until(lambda: bool(there.heard("media.lost")), 30)
        assert not process.is_running()
        assert (await there.ask("media.subscribe", {"restart": False}))["ok"]["sdp"]
    assert "process.hangs" in school.product.log.read_text()


async def test_who_comes_while_a_worker_is_down_gets_media_when_there_is_one(school: School) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    await school.enter(teacher, session)
    async with _workers(school) as workers:
        (index,) = [n for n, rooms in enumerate(await _rooms(workers)) if session in rooms]
    process = school.product.media_worker(index)
    assert process is not None
    process.kill()
    late = await school.enter(student, session)
    for _ in range(120):
        answer = await late.ask("media.subscribe", {"restart": False})
        if "ok" in answer:
            break
        await asyncio.sleep(0.1)
    assert answer["ok"]["sdp"]


class _Nobody:
    """A registry that knows of no other host."""

    async def beat(self, host: Host) -> None: ...
    async def living(self) -> list[Host]:
        return []


class _Places:
    """Somebody moves classes, and one ends while it is asked for."""

    def __init__(self, held: dict[str, str | None]) -> None:
        self.at = held
        self.rooms: Rooms | None = None

    async def place(self, room: str, worker: str, *, instead_of: str | None = None) -> str:
        self.at[room] = worker
        return worker

    async def held(self, rooms: Sequence[str]) -> list[str | None]:
        if self.rooms is not None:
            self.rooms.forget("ends")
        return [self.at.get(room) for room in rooms]


async def test_a_class_that_ends_meanwhile_hides_no_other_that_moved() -> None:
    places = _Places({"moves": "0", "ends": "0", "forgotten": "0", "stays": "0"})
    rooms = Rooms(Workers({"0": "a", "1": "b"}, Host(name="h"), _Nobody()), places)
    for room in places.at:
        rooms._known[room] = "0"
    places.at |= {"moves": "1", "ends": "1", "forgotten": None}
    places.rooms = rooms
    assert await rooms.look_again() == ["moves"]
    assert rooms._known["moves"] == "1"
    assert places.at["forgotten"] == "0"
