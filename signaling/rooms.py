"""Which media worker holds which class, and speaking to it."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from liveserver.errors import BadOffer, FloorFull, Invalid, MediaUnavailable, NotFound, SeatSuperseded
from media.control import WorkerClient, WorkerGone, WorkerRefused
from signaling.members import Member

SECONDS_TO_REVIVE = 3.0  # a worker has to come back, before its classes go to others
TEST_ROOM = "test-"  # what the names of rooms begin with in which somebody tries their network
_T = TypeVar("_T")


class Places(Protocol):
    """Where every process agrees which worker has a class. Raises MediaUnavailable."""

    async def place(self, room: str, worker: int, *, instead_of: int | None = None) -> int: ...
    async def held(self, rooms: Sequence[str]) -> Sequence[int | None]: ...


class Rooms:
    """The workers of this host. A class is given to the one with the fewest people, and stays there while it
    lives.
    """

    def __init__(self, paths: Sequence[str], places: Places) -> None:
        self._places = places
        self._known: dict[str, int] = {}  # where classes were when last asked
        self._said: Callable[[str, dict[str, Any]], None] = lambda _name, _facts: None
        self._lost: Callable[[int], None] = lambda _index: None
        self.workers = [
            WorkerClient(path, self._hear, partial(self._lose, n)) for n, path in enumerate(paths)
        ]

    def listen(self, said: Callable[[str, dict[str, Any]], None], lost: Callable[[int], None]) -> None:
        """Name who is told what workers say, and the index of one whose connection broke."""
        self._said, self._lost = said, lost

    def _hear(self, name: str, facts: dict[str, Any]) -> None:
        self._said(name, facts)

    def _lose(self, index: int) -> None:
        self._lost(index)

    async def ready(self, seconds: float) -> None:
        for worker in self.workers:
            await worker.ready(seconds)

    @property
    def connected(self) -> bool:
        return all(worker.connected for worker in self.workers)

    # Where a class is

    async def worker(self, room: str) -> WorkerClient:
        """Return the worker that has a class; one that has none is given to the least loaded.

        Raises MediaUnavailable.
        """
        index = self._known.get(room)
        if index is None:
            index = await self._places.place(room, await self._least_loaded())
        if index >= len(self.workers):  # the host has fewer than it had
            index = await self._places.place(room, await self._least_loaded(), instead_of=index)
        self._known[room] = index
        return self.workers[index]

    async def _alive(self, room: str) -> WorkerClient:
        """Return the worker that has a class; another, when that is gone and does not come back."""
        worker = await self.worker(room)
        index = self._known[room]
        if not worker.connected and not await self.revived(index, SECONDS_TO_REVIVE):
            await self.move(room, index)
        return await self.worker(room)

    async def move(self, room: str, index: int) -> None:
        """Take a class from a worker that is gone, unless somebody did already. Raises MediaUnavailable."""
        self._known[room] = await self._places.place(room, await self._least_loaded(), instead_of=index)

    def is_at(self, room: str, index: int) -> bool:
        """Say whether a class was at this worker when last asked."""
        return self._known.get(room) == index

    async def is_elsewhere(self, room: str, index: int) -> bool:
        """Say whether a class is at another worker by now. Raises MediaUnavailable."""
        if self._known.get(room, index) == index:
            return False
        (held,) = await self._places.held([room])
        return held not in {None, index}

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

    async def revived(self, index: int, seconds: float) -> bool:
        """Wait for a worker to take calls again; say whether it does."""
        try:
            await self.workers[index].ready(seconds)
        except WorkerGone:
            return False
        return True

    async def _least_loaded(self) -> int:
        """Return the worker with the fewest people, the first of equals. Raises MediaUnavailable."""
        load: dict[int, int] = {}
        for index, worker in enumerate(self.workers):
            if worker.connected:
                with contextlib.suppress(WorkerGone, WorkerRefused):
                    stats = await worker.stats()
                    load[index] = stats["participants"] + stats["rooms"]
        if not load:
            raise MediaUnavailable(retryAfter=2)
        return min(load, key=lambda index: load[index])

    async def enter(self, member: Member, floor: Sequence[str]) -> dict[str, Any]:
        """Let a member into the media room; return which of their device's connections live on."""
        worker = await self._alive(member.room)
        return await asked(
            worker.attach(
                member.room,
                member.name,
                staff=member.seat.is_staff,
                device=member.device,
                fence=member.seat.rank,
                floor=floor,
            )
        )


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
