"""The other workers, as one uses them for rooms with more viewers than it carries itself.

Whoever comes when it is full watches at the least loaded of the others, in a mirror of the room there; all
they are asked and told goes on over this worker, so that nobody but it knows.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog

from media.channel import is_of_another_host
from media.control import WorkerClient, WorkerGone, WorkerRefused
from media.participant import Elsewhere, Participant
from media.pipe import Outlet, Pipe
from media.room import Room
from media.rtcp import RtcpError

_RELAYED = {"transport", "quality"}  # what is told of a viewer there as it is told here
_SECONDS_UNUSED = 60.0
_SECONDS_TO_ANSWER, _SECONDS_TO_TELL = 2.0, 0.5  # a worker that hangs must not make ours seem to
_log = structlog.get_logger()


class _Other:
    """Another worker: what it is asked over, and where media goes to it."""

    def __init__(self, client: WorkerClient) -> None:
        self.client = client
        self.outlet = Outlet(client.address)
        self.opening = asyncio.Lock()  # of pipes
        self.lives = 0  # how often it went
        self.is_wanted = True  # may be asked to carry somebody more
        self.task = asyncio.create_task(client.run(), name="spill")

    def close(self) -> None:
        self.task.cancel()
        self.outlet.close()


class Spill:
    """Closed by the worker. `most` viewers of one room are carried here before others are asked; workers are
    named by their control addresses.
    """

    def __init__(
        self, most: int, secret: bytes, rooms: dict[str, Room], tell: Callable[[str, str, Any], None]
    ) -> None:
        self._most = most
        self._secret = secret
        self._rooms = rooms
        self._tell = tell
        self._others: dict[str, _Other] = {}
        self._farewells: set[asyncio.Task[None]] = set()

    def know(self, workers: Sequence[str]) -> None:
        """Name every worker that may be asked; one that is not named any more keeps the viewers it has."""
        for address in workers:
            if address not in self._others:
                client = WorkerClient(
                    address,
                    partial(self._hear, address),
                    partial(self._lose, address),
                    self._secret,
                    hears_all=False,
                )
                self._others[address] = _Other(client)
        for address, other in list(self._others.items()):
            other.is_wanted = address in workers
            if not other.is_wanted and not self._is_used(address, other):
                other.close()
                del self._others[address]

    def _is_used(self, worker: str, other: _Other) -> bool:
        return other.opening.locked() or any(
            worker in room.pipes
            or any(one.elsewhere and one.elsewhere.worker == worker for one in room.participants.values())
            for room in self._rooms.values()
        )

    def close(self) -> None:
        for task in self._farewells:
            task.cancel()
        for one in self._others.values():
            one.close()

    @property
    def dropped(self) -> int:
        return sum(one.outlet.dropped for one in self._others.values())

    def is_for(self, room: Room, participant: Participant) -> bool:
        """Say whether somebody who wants to watch is to do so elsewhere."""
        if participant.subscribe is not None:
            return False
        if participant.elsewhere is not None:
            return self.at(participant).connected
        if not any(one.client.connected and one.is_wanted for one in self._others.values()):
            return False
        return sum(one.subscribe is not None for one in room.participants.values()) >= self._most

    # What people there ask for

    async def subscribe(
        self, name: str, room: Room, participant: Participant, *, restart: bool
    ) -> dict[str, Any]:
        """Return `id` and `sdp` of an offer of another worker; of our own, when no other can be had."""
        place = participant.elsewhere
        try:
            async with asyncio.timeout(_SECONDS_TO_ANSWER):
                if place is None:
                    worker = await self._least_loaded()
                    place = participant.elsewhere = participant.elsewhere or Elsewhere(worker)
                client = await self._mirror(name, room, place.worker)
                await client.mirrored(
                    name,
                    participant.id,
                    staff=participant.staff,
                    device=participant.device,
                    fence=participant.fence,
                )
                offer = await client.subscribe(name, participant.id, restart=restart)
        except (WorkerGone, WorkerRefused, OSError, TimeoutError) as error:
            _log.warning("spill.failed", room=name, error=repr(error))
            self._require(name, room, participant, place)
            if isinstance(error, WorkerRefused) and error.code == "not_attached" and place is not None:
                self._cut(name, room, place.worker)  # it knows our mirror no longer
            sdp = room.offer(participant, restart=False)
            return {"id": participant.watches_on, "sdp": sdp}
        self._require(name, room, participant, place)
        place.connection = offer["id"]
        return offer

    def _require(self, name: str, room: Room, participant: Participant, place: Elsewhere | None) -> None:
        """Raises WorkerRefused when somebody has left, or watches otherwise, since another was asked."""
        is_here = room.participants.get(participant.id) is participant
        if is_here and participant.elsewhere is place:
            return
        now = participant.elsewhere if is_here else None
        if place is not None and (now is None or now.worker != place.worker):
            self._ask_later(self._others[place.worker].client.leave_mirror(name, participant.id))
        raise WorkerRefused("not_attached", "they have left, or asked again, meanwhile")

    async def silent_for(self, name: str, participant: Participant) -> float | None:
        """Return the seconds since the last packet of somebody there; None when it cannot be told soon."""
        try:
            async with asyncio.timeout(_SECONDS_TO_TELL):
                return await self.at(participant).silent_for(name, participant.id)
        except (WorkerGone, WorkerRefused, TimeoutError):
            return None

    def at(self, participant: Participant) -> WorkerClient:
        """Return the worker somebody watches at who watches elsewhere."""
        assert participant.elsewhere is not None  # noqa: S101 - asked of those only
        return self._others[participant.elsewhere.worker].client

    async def _least_loaded(self) -> str:
        """Raises WorkerGone."""
        load = {}

        async def ask(address: str, client: WorkerClient) -> None:
            with contextlib.suppress(WorkerGone, WorkerRefused, TimeoutError):
                async with asyncio.timeout(_SECONDS_TO_TELL):
                    stats = await client.stats()
                load[address] = stats["participants"] + stats["rooms"]
                if is_of_another_host(address):  # only when ours are full
                    load[address] += self._most

        able = [(address, one.client) for address, one in self._others.items() if one.is_wanted]
        await asyncio.gather(*(ask(address, client) for address, client in able if client.connected))
        load = {address: people for address, people in load.items() if address in self._others}
        if not load:
            raise WorkerGone
        return min(load, key=lambda address: load[address])

    async def _mirror(self, name: str, room: Room, worker: str) -> WorkerClient:
        """Have the room mirrored by another worker; return it. Raises WorkerGone, WorkerRefused, OSError."""
        other = self._others[worker]
        async with other.opening:
            if worker not in room.pipes:
                if self._rooms.get(name) is not room:
                    raise WorkerGone
                if not other.outlet.is_open:
                    other.outlet.open(other.client.channel.keys if other.client.channel else None)
                lives = other.lives
                number = await other.client.mirror(name)
                if other.lives != lives:
                    raise WorkerGone
                if self._rooms.get(name) is not room:
                    self._end(name, worker)
                    raise WorkerGone
                room.on_left = partial(self._leave, name)
                pipe = Pipe(
                    number,
                    room.places,
                    other.outlet.send,
                    partial(other.client.show, name),
                    partial(self._end, name, worker),
                )
                room.add_pipe(worker, pipe)
        return other.client

    def tidy(self, name: str, room: Room, now: float) -> None:
        """Once a second: close a room's pipes to where nobody watches it any more."""
        there = {one.elsewhere.worker for one in room.participants.values() if one.elsewhere is not None}
        for worker, pipe in list(room.pipes.items()):
            if worker in there:
                pipe.used_at = now
            elif now - pipe.used_at > _SECONDS_UNUSED and not self._others[worker].opening.locked():
                self._cut(name, room, worker)

    def _leave(self, name: str, participant: Participant) -> None:
        self._ask_later(self.at(participant).leave_mirror(name, participant.id))

    def _end(self, name: str, worker: str) -> None:
        self._ask_later(self._others[worker].client.end_mirror(name))

    def _ask_later(self, asking: Awaitable[Any]) -> None:
        """Ask without waiting; a worker that is gone has forgotten them anyway."""

        async def ask() -> None:
            with contextlib.suppress(WorkerGone, WorkerRefused):
                await asking

        task = asyncio.create_task(ask(), name="farewell")
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    # What is said there

    def _hear(self, worker: str, event: str, facts: dict[str, Any]) -> None:
        room = self._rooms.get(facts["room"])
        pipe = room.pipes.get(worker) if room is not None else None
        if room is None or pipe is None:
            return
        if event == "feedback":
            try:
                pipe.on_feedback(facts["rtcp"])
            except RtcpError:
                _log.exception("spill.feedback", room=facts["room"])
        elif event == "layers":
            pipe.wake(facts["mid"], facts["take"], facts["awake"])
        elif event in _RELAYED:
            participant = room.participants.get(facts["participant"])
            place = participant.elsewhere if participant is not None else None
            if place is not None and place.worker == worker:
                if facts.get("id") == place.connection and facts.get("state") == "closed":
                    place.connection = None
                self._tell(facts["room"], event, {k: v for k, v in facts.items() if k != "room"})

    def _lose(self, worker: str) -> None:
        """Another worker is gone: those who watched there come again, to wherever there is room."""
        other = self._others[worker]
        other.outlet.close()
        other.lives += 1
        for name, room in list(self._rooms.items()):
            self._cut(name, room, worker)

    def _cut(self, name: str, room: Room, worker: str) -> None:
        """Close a room's pipe; those who watch there come again."""
        pipe = room.pipes.pop(worker, None)
        if pipe is None:
            return
        pipe.close()
        for participant in list(room.participants.values()):
            place = participant.elsewhere
            if place is not None and place.worker == worker:
                participant.elsewhere = None
                facts = {"participant": participant.id, "id": place.connection, "kind": "subscribe"}
                self._tell(name, "transport", facts | {"state": "closed"})
