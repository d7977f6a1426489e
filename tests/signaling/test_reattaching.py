"""Workers and hosts that are lost: who was there is somewhere again, and nobody is moved for nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from liveserver.errors import MediaUnavailable
from liveserver.models.hosts import Host
from liveserver.services import Services
from signaling import reattaching, workers
from signaling.members import Member, Members
from signaling.reattaching import Reattaching
from signaling.rooms import Rooms
from signaling.workers import Workers
from tests.builders import until

OURS, THEIRS = "10.0.0.1:51000", "10.0.0.2:51000"


class Registry:
    """What hosts say, with Redis there or not."""

    def __init__(self) -> None:
        self.away = False
        self.said: dict[str, Host] = {}
        self.others: list[Host] = []

    async def beat(self, host: Host) -> None:
        if self.away:
            raise MediaUnavailable(retryAfter=2)
        self.said[host.name] = host

    async def living(self) -> list[Host]:
        if self.away:
            raise MediaUnavailable(retryAfter=2)
        return [*self.said.values(), *self.others]


@asynccontextmanager
async def _running(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Run the workers of a host beside another one; yield which workers were lost."""
    monkeypatch.setattr(workers, "_SECONDS_BETWEEN_BEATS", 0.05)
    monkeypatch.setattr(workers, "_SECONDS_UNSEEN", 0.5)
    lost: list[str] = []
    ours = Workers({OURS: "/nowhere"}, Host(name=OURS, is_alone=False), registry, b"secret")
    ours.listen(lambda _event, _facts: None, lost.append)
    registry.others = [Host(name=THEIRS, is_alone=False, workers=(THEIRS,))]
    running = asyncio.create_task(ours.run())
    await asyncio.sleep(0.3)
    try:
        yield lost
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_hosts_are_not_given_up_while_redis_is_away_nor_when_it_forgot_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry()
    async with _running(registry, monkeypatch) as lost:
        registry.away = True
        await asyncio.sleep(1)
        others, registry.others = registry.others, []
        registry.away = False  # and empty
        await asyncio.sleep(0.3)
        registry.others = others
        await asyncio.sleep(0.6)
        assert not lost
        assert registry.said[OURS].workers == (), "a worker that does not answer is not to be counted on"


async def test_a_host_nobody_hears_of_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    async with _running(registry, monkeypatch) as lost:
        registry.others = []
        await until(lambda: lost == [THEIRS], 3)


async def test_who_is_given_up_before_it_begins_is_not_asked() -> None:
    """A call made and never awaited is a warning, which fails whatever test runs when it is found."""
    asked: list[None] = []

    async def answers() -> None:
        asked.append(None)

    asking = asyncio.create_task(workers._asked(answers))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert asking.cancelled()
    assert not asked


class _There:
    """A worker that takes whoever comes, as the workers' clients do."""

    connected = True

    def __init__(self) -> None:
        self.people: list[str] = []
        self.alive: dict[str, Any] = {"publish": None, "subscribe": None, "encoder": None}
        self.slow = 0.0

    async def attach(self, _room: str, participant: str, **_rest: Any) -> dict[str, Any]:
        await asyncio.sleep(self.slow)
        self.people.append(participant)
        return self.alive


@dataclass
class _Told:
    """Who was told that their media is lost, and who was dropped."""

    told: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    async def to(self, sid: str, event: str, _facts: dict[str, Any]) -> None:
        assert event == "media.lost"
        self.told.append(sid)

    async def drop(self, member: Member) -> None:
        self.dropped.append(member.sid)

    async def detach(self, member: Member) -> None:
        raise AssertionError(f"{member.sid} is still there")


class _Class:
    """Members of classes at workers a and b, of which a was lost."""

    def __init__(self, *members: tuple[str, str, str]) -> None:
        self.clients = {"a": _There(), "b": _There()}
        self.back = False
        self.placed: dict[str, str] = {room: "a" for _, room, _ in members}
        self.unmovable: set[str] = set()
        self.people = {
            sid: SimpleNamespace(
                sid=sid,
                room=room,
                name=sid,
                device=device,
                worker="a",
                unattached=False,
                playing=7,
                seat=SimpleNamespace(is_staff=False, rank=1),
            )
            for sid, room, device in members
        }
        self.rooms = Rooms(cast(Workers, self), self)
        self.rooms._known = dict(self.placed)
        self.told = _Told()
        services = SimpleNamespace(classroom=SimpleNamespace(floor_of=self._floor))
        self.reattaching = Reattaching(
            cast(Services, services), cast(Members, self), self.rooms, cast(Any, self.told)
        )

    # What members and workers are asked

    def __iter__(self) -> Any:
        return iter(list(self.people.values()))

    def get(self, sid: str) -> Any:
        return self.people.get(sid)

    async def _floor(self, _seat: Any) -> list[str]:
        return []

    @property
    def workers(self) -> "_Class":
        return self

    async def find(self, name: str) -> _There:
        return self.clients[name]

    async def revived(self, name: str, _seconds: float) -> bool:
        await asyncio.sleep(0.05)
        return name == "b" or self.back

    async def may_be_given_up(self, _name: str) -> bool:
        return True

    async def least_loaded(self) -> str:
        return "b"

    async def place(self, room: str, worker: str, *, instead_of: str | None = None) -> str:
        if room in self.unmovable:
            raise MediaUnavailable(retryAfter=2)
        if self.placed.get(room) in {None, instead_of}:
            self.placed[room] = worker
        return self.placed[room]

    async def held(self, rooms: Sequence[str]) -> list[str | None]:
        return [self.placed.get(room) for room in rooms]


PAGE = "d"


async def test_everybody_of_a_lost_worker_follows_their_class_though_a_newcomer_moved_it() -> None:
    room = _Class(("s1", "r", PAGE), ("s2", "r", PAGE))
    room.clients["a"].connected = False
    room.reattaching.worker_lost("a")
    room.rooms._known["r"] = room.placed["r"] = "b"  # by whoever came meanwhile
    await until(lambda: sorted(room.clients["b"].people) == ["s1", "s2"], 5)
    await until(lambda: sorted(room.told.told) == ["s1", "s2"], 5)


async def test_a_class_that_cannot_move_yet_keeps_no_other_from_it() -> None:
    room = _Class(("s1", "r1", PAGE), ("s2", "r2", PAGE), ("s3", "r3", PAGE))
    room.clients["a"].connected = False
    room.unmovable = {"r2"}
    room.reattaching.worker_lost("a")
    await until(lambda: sorted(room.clients["b"].people) == ["s1", "s3"], 8)
    room.unmovable = set()
    await until(lambda: sorted(room.clients["b"].people) == ["s1", "s2", "s3"], 8)


async def test_a_worker_that_is_lost_again_meanwhile_is_entered_again() -> None:
    room = _Class(*((f"s{n}", "r", PAGE) for n in range(4)))
    room.back, room.clients["a"].slow = True, 0.1
    room.reattaching.worker_lost("a")
    await until(lambda: len(room.clients["a"].people) == 2, 5)
    room.reattaching.worker_lost("a")  # and has forgotten the two
    await until(lambda: len(room.clients["a"].people) == 8, 5)
    await asyncio.sleep(0.3)
    assert len(room.clients["a"].people) == 8


async def test_a_connection_that_broke_between_hosts_costs_nobody_their_media() -> None:
    room = _Class(("page", "r", PAGE), ("obs", "r", "encoder"), ("player", "r", "player"))
    room.back = True
    room.clients["a"].alive = {"publish": 1, "subscribe": 7, "encoder": 3}
    room.reattaching.worker_lost("a")
    await until(lambda: len(room.clients["a"].people) == 3, 5)
    await asyncio.sleep(0.1)
    assert (room.told.told, room.told.dropped) == ([], [])
    # Had the worker been started anew, their connections were gone.
    room.clients["a"].alive = {"publish": None, "subscribe": None, "encoder": None}
    room.reattaching.worker_lost("a")
    await until(lambda: (room.told.told, room.told.dropped) == (["page"], ["obs", "player"]), 5)


async def test_who_could_not_enter_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reattaching, "_SECONDS_BETWEEN_LOOKS", 0.1)
    room = _Class(("s1", "r", PAGE), ("s2", "gone", PAGE))
    room.people["s1"].unattached = True
    room.placed["gone"] = "b"  # by another process
    following = asyncio.create_task(room.reattaching.run())
    await until(lambda: room.clients["a"].people == ["s1"] and room.clients["b"].people == ["s2"], 5)
    await asyncio.sleep(0.3)
    assert room.told.told == ["s1", "s2"]
    following.cancel()
