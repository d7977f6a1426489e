"""Members whose media worker is gone enter its successor, or the worker their class goes to instead."""

import asyncio
from typing import Any, Protocol

import structlog

from liveserver.errors import MediaUnavailable, Refusal
from liveserver.services import Services
from signaling.members import PROGRAMS, Member, Members
from signaling.rooms import Rooms
from signaling.workers import SECONDS_TO_REVIVE

_log = structlog.get_logger()


class Informer(Protocol):
    """Who speaks to members, and ends what they have here."""

    async def to(self, sid: str, event: str, facts: dict[str, Any]) -> None: ...
    async def drop(self, member: Member) -> None: ...
    async def detach(self, member: Member) -> None: ...


class Reattaching:
    """A task for each worker that was lost, until its classes are somewhere; nothing else waits for them."""

    def __init__(self, services: Services, members: Members, rooms: Rooms, informer: Informer) -> None:
        self._services = services
        self._members = members
        self._rooms = rooms
        self._informer = informer
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def worker_lost(self, worker: str) -> None:
        if worker not in self._tasks:
            task = asyncio.create_task(self._replace(worker), name=f"lost-{worker}")
            self._tasks[worker] = task
            task.add_done_callback(lambda _task: self._tasks.pop(worker, None))

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def look_again(self) -> None:
        """Follow classes that somebody else moved; try those again who could not enter.

        Raises MediaUnavailable.
        """
        moved = set(await self._rooms.look_again())
        await self._enter_all([one for one in self._members if one.room in moved or one.unattached])

    def _waiting(self, worker: str) -> list[Member]:
        return [member for member in self._members if self._rooms.is_at(member.room, worker)]

    async def _replace(self, worker: str) -> None:
        """Have those of a lost worker enter it again when it is back; another, when it does not come back."""
        while self._waiting(worker):
            try:
                if await self._rooms.workers.revived(worker, SECONDS_TO_REVIVE):
                    await self._enter_all(self._waiting(worker))
                    return
                waiting = self._waiting(worker)
                for room in {member.room for member in waiting}:
                    await self._rooms.move(room, worker)
                await self._enter_all(waiting)
            except MediaUnavailable:  # nowhere to go yet
                await asyncio.sleep(1)
            except Exception:
                _log.exception("reattaching.internal", worker=worker)
                await asyncio.sleep(1)

    async def _enter_all(self, members: list[Member]) -> None:
        for member in members:
            if member.device in PROGRAMS:
                await self._informer.drop(member)  # its connection is gone, and it has no page to be told by
                continue
            try:
                await self._enter(member)
            except Refusal as refusal:
                member.unattached = True  # it is tried again
                _log.warning("media.reattach_failed", code=refusal.code)

    async def _enter(self, member: Member) -> None:
        if self._members.get(member.sid) is not member:
            return
        await self._rooms.enter(member, await self._services.classroom.floor_of(member.seat))
        if self._members.get(member.sid) is not member:  # they lost their seat meanwhile
            await self._informer.detach(member)
            return
        member.unattached = False
        await self._informer.to(member.sid, "media.lost", {})
