"""Which media worker holds which class, and speaking to it."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from liveserver.errors import BadOffer, FloorFull, Invalid, MediaUnavailable, NotFound, SeatSuperseded
from media.control import WorkerClient, WorkerGone, WorkerRefused
from signaling.members import Member

_T = TypeVar("_T")


class Rooms:
    """The workers of this host. A class always has the same one: the highest of its hashes."""

    def __init__(self, paths: Sequence[str]) -> None:
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

    async def wait(self, index: int, seconds: float) -> bool:
        """Wait for one worker to take calls; say whether it does."""
        try:
            await self.workers[index].ready(seconds)
        except WorkerGone:
            return False
        return True

    @property
    def connected(self) -> bool:
        return all(worker.connected for worker in self.workers)

    def index_of(self, room: str) -> int:
        def weight(n: int) -> bytes:
            return hashlib.sha256(f"{n}:{room}".encode()).digest()

        return max(range(len(self.workers)), key=weight)

    async def enter(self, member: Member, floor: Sequence[str]) -> dict[str, Any]:
        """Let a member into the media room; return which of their device's connections live on."""
        return await asked(
            self.worker(member.room).attach(
                member.room,
                member.name,
                staff=member.seat.is_staff,
                device=member.device,
                fence=member.seat.rank,
                floor=floor,
            )
        )

    def worker(self, room: str) -> WorkerClient:
        return self.workers[self.index_of(room)]


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
