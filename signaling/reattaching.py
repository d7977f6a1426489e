"""Members whose media worker is gone enter its successor, or the worker their class goes to instead."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from liveserver.errors import MediaUnavailable, Refusal
from liveserver.services import Services
from signaling.members import ENCODER, PROGRAMS, Member, Members
from signaling.rooms import Rooms
from signaling.workers import SECONDS_TO_REVIVE

_SECONDS_BETWEEN_LOOKS = 5.0
_log = structlog.get_logger()


class Informer(Protocol):
    """Who speaks to members, and ends what they have here."""

    async def to(self, sid: str, event: str, facts: dict[str, Any]) -> None: ...
    async def drop(self, member: Member) -> None: ...
    async def detach(self, member: Member) -> None: ...


class Reattaching:
    """A task for each worker that was lost, until its people are somewhere; nothing else waits for them."""

    def __init__(self, services: Services, members: Members, rooms: Rooms, informer: Informer) -> None:
        self._services = services
        self._members = members
        self._rooms = rooms
        self._informer = informer
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # workers that were lost while their people entered

    def worker_lost(self, worker: str) -> None:
        self._again.add(worker)
        if worker not in self._tasks:
            task = asyncio.create_task(self._replace(worker), name=f"lost-{worker}")
            self._tasks[worker] = task
            task.add_done_callback(lambda _task: self._tasks.pop(worker, None))

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def run(self) -> None:
        """Follow classes that somebody else moved; try those again who could not enter."""
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            try:
                await self._rooms.look_again()
                await self._enter_all(
                    [one for one in self._members if one.unattached or self._rooms.has_left(one)]
                )
            except MediaUnavailable as error:
                _log.warning("reattaching.unavailable", code=error.code)
            except Exception:
                _log.exception("reattaching.internal")

    async def _replace(self, worker: str) -> None:
        """Have those of a lost worker enter it again when it is back; another, when it does not come back."""
        while waiting := [member for member in self._members if member.worker == worker]:
            self._again.discard(worker)
            try:
                if await self._rooms.workers.revived(worker, SECONDS_TO_REVIVE):
                    await self._enter_all(waiting)
                    if worker not in self._again:
                        return
                    continue
                for room in {member.room for member in waiting}:
                    await self._move(room, worker)
            except MediaUnavailable:  # where to is not known
                await asyncio.sleep(1)
            except Exception:
                _log.exception("reattaching.internal", worker=worker)
                await asyncio.sleep(1)

    async def _move(self, room: str, worker: str) -> None:
        try:
            await self._rooms.move(room, worker)
        except MediaUnavailable:  # nowhere to go yet; the other rooms do not wait for this one
            await asyncio.sleep(1)
            return
        await self._enter_all(
            [member for member in self._members if member.room == room and member.worker == worker]
        )

    async def _enter_all(self, members: Sequence[Member]) -> None:
        unreached: set[str] = set()  # rooms
        for member in members:
            try:
                if member.room in unreached:
                    raise MediaUnavailable(retryAfter=2)
                await self._enter(member)
            except Refusal as refusal:
                member.unattached, member.worker = True, ""  # it is tried again
                if isinstance(refusal, MediaUnavailable):
                    unreached.add(member.room)
                _log.warning("media.reattach_failed", code=refusal.code)

    async def _enter(self, member: Member) -> None:
        """Enter anew; who lost their connections is told, and a program that did is gone."""
        if self._members.get(member.sid) is not member:
            return
        lives = await self._rooms.enter(member, await self._services.classroom.floor_of(member.seat))
        if self._members.get(member.sid) is not member:  # they lost their seat meanwhile
            await self._informer.detach(member)
            return
        member.unattached = False
        if member.device in PROGRAMS:
            is_there = lives["encoder"] if member.device == ENCODER else lives["subscribe"] == member.playing
            if not is_there:
                await self._informer.drop(member)
        elif lives["publish"] is None and lives["subscribe"] is None:
            await self._informer.to(member.sid, "media.lost", {})
