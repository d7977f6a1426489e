"""Two hosts, each with a supervisor of its own, on the same stores: one platform."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import psutil
import pytest
import redis.asyncio

from liveserver.app import meet
from liveserver.assembly import StoreUnfit
from liveserver.config import Running, Settings
from liveserver.storage.hosts import HostRegistry
from media.control import WorkerClient
from tests.builders import Person, School, until
from tests.product import ROOT, UNHURRIED, Product, free_ports

_SECONDS_TO_HEAR = 4.0  # that a host drains
_VIEWERS = 2  # of one class at one host, while the other has room
_CONNECTIONS = 5  # of a worker: its supervisor, the web processes of both hosts, the other worker, and ours


@dataclass
class Hosts:
    """Two hosts, and their clients: the stores are the first one's."""

    products: list[Product]
    schools: list[School]
    workers: list[WorkerClient]
    classes: list[tuple[str, Person]] = field(default_factory=list)

    async def begin(self) -> tuple[str, Person, Person]:
        """Start a class of one student."""
        session, teacher, (student,) = await self.begin_for(1)
        return session, teacher, student

    async def begin_for(self, students: int) -> tuple[str, Person, list[Person]]:
        one = self.schools[0]
        teacher, learning = await one.register("instructor"), [await one.register() for _ in range(students)]
        course = await one.course(teacher)
        await one.enroll(learning, course)
        session = await one.session(teacher, course)
        self.classes.append((session, teacher))
        return session, teacher, learning

    async def end(self) -> None:
        for session, teacher in self.classes:
            await self.schools[0].call("POST", f"/api/live-sessions/{session}/end", teacher)

    async def at(self, session: str) -> list[int]:
        """Return the hosts that have a class."""
        return [n for n, worker in enumerate(self.workers) if session in await worker.occupants()]

    def command(self, host: int, *arguments: str) -> str:
        product = self.products[host]
        return subprocess.run(
            [sys.executable, "-m", "liveserver", *arguments],
            cwd=ROOT,
            env={**os.environ, **product.environment},
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout


def _running(product: Product) -> Running:
    return Running.model_validate_json((product.state / "run.json").read_text())


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Product]]:
    def control() -> dict[str, str]:
        own = {"LIVE_MEDIA__CONTROL_ADDRESS": f"127.0.0.1:{free_ports(1)}"}
        return {**UNHURRIED, **own, "LIVE_MEDIA__VIEWERS_PER_WORKER": str(_VIEWERS)}

    folder = tmp_path_factory.mktemp("hosts")
    with Product(folder / "first", settings=control()) as first:
        stores = _running(first)
        settings = control() | {
            "LIVE_DATABASE__URL": stores.database_url,
            "LIVE_REDIS__URL": stores.redis_url,
            "LIVE_S3__ENDPOINT": stores.s3_endpoint,
            "LIVE_S3__ACCESS_KEY": stores.s3_access_key,
            "LIVE_S3__SECRET_KEY": stores.s3_secret_key,
            "LIVE_AUTH__SECRET": stores.auth_secret,
            "LIVE_HTTP__ADMIN_PORT": str(free_ports(1)),
        }
        with Product(folder / "second", settings=settings) as second:
            yield [first, second]


@pytest.fixture
async def hosts(pair: list[Product]) -> AsyncIterator[Hosts]:
    async with aiohttp.ClientSession() as client:
        schools = [await School.open(product, client) for product in pair]
        workers = [
            WorkerClient(str(_running(product).control_socket(0)), lambda _name, _facts: None, lambda: None)
            for product in pair
        ]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        for worker in workers:
            await worker.ready(10)
            for _ in range(300):
                if (await worker.stats())["connections"] >= _CONNECTIONS:
                    break
                await asyncio.sleep(0.1)
        made = Hosts(pair, schools, workers)
        yield made
        await made.end()
        for task in tasks:
            task.cancel()
        for school in schools:
            await school.close()


async def test_classes_of_both_hosts_are_open_at_either(hosts: Hosts) -> None:
    places = []
    for _ in range(2):
        session, teacher, student = await hosts.begin()
        there = await hosts.schools[0].enter(teacher, session)
        here = await hosts.schools[1].enter(student, session)
        (host,) = await hosts.at(session)
        places.append(host)
        people = (await hosts.workers[host].occupants())[session]
        assert set(people) == {teacher.id, student.id}
        for socket in (there, here):
            offer = (await socket.ask("media.subscribe", {"restart": False}))["ok"]["sdp"]
            assert f" {hosts.products[host].udp_port} typ host" in offer, "media goes to the host that has it"
        # Whoever is put out by one host's door loses their media at the other.
        answer = await there.ask("seat.kick", {"userId": student.id})
        assert "ok" in answer, answer
        await until(partial(here.heard, "seat.lost"), 5)
        assert set((await hosts.workers[host].occupants())[session]) == {teacher.id}
    assert sorted(places) == [0, 1]


async def test_who_is_too_many_for_one_host_watches_at_the_other(hosts: Hosts) -> None:
    session, teacher, students = await hosts.begin_for(_VIEWERS)
    people = [await hosts.schools[0].enter(one, session) for one in (teacher, *students)]
    (host,) = await hosts.at(session)
    offers = [(await one.ask("media.subscribe", {"restart": False}))["ok"]["sdp"] for one in people]
    places = [[f" {one.udp_port} typ host" in offer for one in hosts.products] for offer in offers]
    here, there = [host == 0, host == 1], [host == 1, host == 0]
    assert places == [here] * _VIEWERS + [there]
    assert (await hosts.workers[1 - host].stats())["mirrors"] == 1
    assert await hosts.at(session) == [host], "the class is still one host's"


async def test_a_host_that_drains_is_given_no_classes_and_keeps_those_it_has(hosts: Hosts) -> None:
    sessions = []
    for _ in range(2):
        session, teacher, student = await hosts.begin()
        await hosts.schools[0].enter(teacher, session)
        sessions.append((session, teacher, student))
    (kept,) = [one for one in sessions if await hosts.at(one[0]) == [1]]
    ready = f"http://127.0.0.1:{hosts.products[1].environment['LIVE_HTTP__ADMIN_PORT']}/readyz"
    async with hosts.schools[1].client.get(ready) as answer:
        assert answer.status == 200

    assert "no new classes" in hosts.command(1, "drain")
    await asyncio.sleep(_SECONDS_TO_HEAR)
    for _ in range(3):
        session, teacher, _ = await hosts.begin()
        await hosts.schools[1].enter(teacher, session)
        assert await hosts.at(session) == [0]
    assert await hosts.at(kept[0]) == [1]
    here = await hosts.schools[0].enter(kept[2], kept[0])
    assert (await here.ask("media.subscribe", {"restart": False}))["ok"]["sdp"]
    async with hosts.schools[1].client.get(ready) as answer:
        assert answer.status == 503
        assert (await answer.json())["parts"]["serving"] == "Draining"

    # Once its class is over it is empty.
    waiting = asyncio.create_task(asyncio.to_thread(hosts.command, 1, "drain", "--wait"))
    await asyncio.sleep(3)
    assert not waiting.done()
    await hosts.schools[0].call("POST", f"/api/live-sessions/{kept[0]}/end", kept[1])
    assert "empty" in await waiting
    assert "again" in hosts.command(1, "drain", "--off")
    await asyncio.sleep(_SECONDS_TO_HEAR)
    session, teacher, _ = await hosts.begin()
    await hosts.schools[0].enter(teacher, session)
    assert await hosts.at(session) == [1]


async def test_a_host_the_others_cannot_reach_does_not_join(product: Product) -> None:
    async with redis.asyncio.from_url(_running(product).redis_url, decode_responses=True) as store:
        alone = Settings()
        own = Settings.model_validate({"media": {"control_address": "127.0.0.1:50999"}})
        for settings in (alone, own):  # the product there has no address either
            with pytest.raises(StoreUnfit, match="control_address"):
                await meet(settings, HostRegistry(store), seconds=1)


async def test_classes_of_a_host_that_dies_go_on_at_another(hosts: Hosts) -> None:
    """The last: the second host is gone after it."""
    sessions: list[tuple[str, Any]] = []
    for _ in range(2):
        session, teacher, _ = await hosts.begin()
        sessions.append((session, await hosts.schools[0].enter(teacher, session)))
    ((session, socket),) = [one for one in sessions if await hosts.at(one[0]) == [1]]
    (stayed,) = [one[1] for one in sessions if one[0] != session]
    children = psutil.Process(hosts.products[1].process.pid).children(recursive=True)
    try:
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.suspend()  # nothing says goodbye
        hosts.products[1].process.send_signal(signal.SIGKILL)
        await until(lambda: bool(socket.heard("media.lost")), 30)
        assert session in await hosts.workers[0].occupants()
        assert (await socket.ask("media.subscribe", {"restart": False}))["ok"]["sdp"]
        assert not stayed.heard("media.lost")
    finally:
        for child in children:  # who is stopped does not hear that its parent has gone
            with contextlib.suppress(psutil.Error):
                child.kill()
