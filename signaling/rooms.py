"""Which media worker holds which class, and speaking to it."""

import contextlib
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

from liveserver.errors import BadOffer, FloorFull, Invalid, MediaUnavailable, NotFound, SeatSuperseded
from media.control import WorkerClient, WorkerGone, WorkerRefused
from signaling.members import Member
from signaling.workers import SECONDS_TO_REVIVE, Workers

TEST_ROOM = "test-"  # what the names of rooms begin with in which somebody tries their network
_T = TypeVar("_T")


class Places(Protocol):
    """Where every process agrees which worker has a class. Raises MediaUnavailable."""

    async def place(self, room: str, worker: str, *, instead_of: str | None = None) -> str: ...
    async def held(self, rooms: Sequence[str]) -> Sequence[str | None]: ...


class Rooms:
    """A class is given to the worker with the fewest people, and stays there while it lives."""

    def __init__(self, workers: Workers, places: Places) -> None:
        self.workers = workers
        self._places = places
        self._known: dict[str, str] = {}  # where classes were when last asked

    # Where a class is

    async def worker(self, room: str) -> WorkerClient:
        """Return the worker that has a class; one that has none is given to the least loaded.

        Raises MediaUnavailable.
        """
        name = self._known.get(room)
        if name is None:
            name = await self._places.place(room, await self.workers.least_loaded())
        found = await self.workers.find(name)
        if found is None:  # a host went, or has fewer than it had
            name = await self._places.place(room, await self.workers.least_loaded(), instead_of=name)
            found = await self.workers.find(name)
        if found is None:
            raise MediaUnavailable(retryAfter=2)
        self._known[room] = name
        return found

    async def _alive(self, room: str) -> WorkerClient:
        """Return the worker that has a class; another, when that is gone and does not come back."""
        worker = await self.worker(room)
        name = self._known[room]
        if not worker.connected and not await self.workers.revived(name, SECONDS_TO_REVIVE):
            await self.move(room, name)
        return await self.worker(room)

    async def move(self, room: str, worker: str) -> None:
        """Take a class from a worker that is gone, unless somebody did already. Raises MediaUnavailable when
        there is no other, or its own host has yet to give it up.
        """
        if not await self.workers.may_be_given_up(worker):
            (held,) = await self._places.held([room])
            if held in {None, worker}:
                raise MediaUnavailable(retryAfter=2)
        self._known[room] = await self._places.place(
            room, await self.workers.least_loaded(), instead_of=worker
        )

    def has_left(self, member: Member) -> bool:
        """Say whether a member's class is at another worker than they entered, as far as we know."""
        return bool(member.worker) and self._known.get(member.room) not in {None, member.worker}

    async def is_elsewhere(self, room: str, worker: str) -> bool:
        """Say whether a class is at another worker by now. Raises MediaUnavailable."""
        if self._known.get(room) == worker:
            return False
        (held,) = await self._places.held([room])
        return held not in {None, worker}

    async def look_again(self) -> list[str]:
        """Ask anew where the classes are; return those that somebody else moved. Raises MediaUnavailable."""
        rooms = list(self._known)
        moved = []
        for room, held in zip(rooms, await self._places.held(rooms), strict=True):
            was = self._known.get(room)
            if was is not None and held is None:  # Redis was emptied: the class stays where it is
                with contextlib.suppress(MediaUnavailable):
                    await self._places.place(room, was)
            elif was is not None and held is not None and held != was:
                self._known[room] = held
                moved.append(room)
        return moved

    def forget(self, room: str) -> None:
        self._known.pop(room, None)

    async def enter(self, member: Member, floor: Sequence[str]) -> dict[str, Any]:
        """Let a member into the media room; return which of their device's connections live on."""
        worker = await self._alive(member.room)
        name = self._known[member.room]
        lives: dict[str, Any] = await asked(
            worker.attach(
                member.room,
                member.name,
                staff=member.seat.is_staff,
                device=member.device,
                fence=member.seat.rank,
                floor=floor,
            )
        )
        member.worker = name
        return lives


async def asked(call: Awaitable[_T]) -> _T:
    """Await a worker's answer; its refusals become ours."""
    try:
        return await call
    except WorkerGone as error:
        raise MediaUnavailable(retryAfter=2) from error
    except WorkerRefused as error:
        raise _refusal(error) from error


def _refusal(error: WorkerRefused) -> Exception:
    details: dict[str, Any] = {"reason": error.sentence}
    if error.code == "bad_sdp":
        return BadOffer(**details)
    if error.code == "floor_full":
        return FloorFull()
    if error.code == "superseded":
        return SeatSuperseded()
    if error.code == "not_attached":
        return NotFound(**details)
    if error.code == "invalid":
        return Invalid(**details)
    return MediaUnavailable(retryAfter=2)
