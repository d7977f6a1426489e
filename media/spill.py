"""The other workers of this host, as one uses them for rooms with more viewers than it carries itself.

Whoever comes when it is full watches at the least loaded of the others, in a mirror of the room there; all
they are asked and told goes on over this worker, so that nobody but it knows.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

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

    def __init__(
        self, control: Path, on_event: Callable[[str, Any], None], on_lost: Callable[[], None]
    ) -> None:
        self.client = WorkerClient(str(control), on_event, on_lost)
        self.outlet = Outlet(pipe_path(control))
        self.opening = asyncio.Lock()  # of pipes
        self.lives = 0  # how often it went


def pipe_path(control: Path) -> Path:
    """Return where a worker takes pipes, by its control socket."""
    return control.with_name(control.name + ".pipe")


class Spill:
    """Closed by the worker. `most` viewers of one room are carried here before others are asked."""

    def __init__(
        self, others: Sequence[Path], most: int, rooms: dict[str, Room], tell: Callable[[str, str, Any], None]
    ) -> None:
        self._most = most
        self._rooms = rooms
        self._tell = tell
        self._others = [
            _Other(path, partial(self._hear, n), partial(self._lose, n)) for n, path in enumerate(others)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._farewells: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(one.client.run(), name="spill") for one in self._others]

    def close(self) -> None:
        for task in (*self._tasks, *self._farewells):
            task.cancel()
        for one in self._others:
            one.outlet.close()

    @property
    def dropped(self) -> int:
        return sum(one.outlet.dropped for one in self._others)

    def is_for(self, room: Room, participant: Participant) -> bool:
        """Say whether somebody who wants to watch is to do so elsewhere."""
        if participant.subscribe is not None or not any(one.client.connected for one in self._others):
            return False
        if participant.elsewhere is not None:
            return self._others[participant.elsewhere.index].client.connected
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
                    index = await self._least_loaded()
                    place = participant.elsewhere = participant.elsewhere or Elsewhere(index)
                client = await self._mirror(name, room, place.index)
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
                self._cut(name, room, place.index)  # it knows our mirror no longer
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
        if place is not None and (now is None or now.index != place.index):
            self._ask_later(self._others[place.index].client.leave_mirror(name, participant.id))
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
        return self._others[participant.elsewhere.index].client

    async def _least_loaded(self) -> int:
        """Raises WorkerGone."""
        load = {}

        async def ask(index: int, client: WorkerClient) -> None:
            with contextlib.suppress(WorkerGone, WorkerRefused, TimeoutError):
                async with asyncio.timeout(_SECONDS_TO_TELL):
                    stats = await client.stats()
                load[index] = stats["participants"] + stats["rooms"]

        connected = [(n, one.client) for n, one in enumerate(self._others) if one.client.connected]
        await asyncio.gather(*(ask(n, client) for n, client in connected))
        if not load:
            raise WorkerGone
        return min(load, key=lambda index: load[index])

    async def _mirror(self, name: str, room: Room, index: int) -> WorkerClient:
        """Have the room mirrored by another worker; return it. Raises WorkerGone, WorkerRefused, OSError."""
        other = self._others[index]
        async with other.opening:
            if index not in room.pipes:
                if self._rooms.get(name) is not room:
                    raise WorkerGone
                if not other.outlet.is_open:
                    other.outlet.open()
                lives = other.lives
                number = await other.client.mirror(name)
                if other.lives != lives:
                    raise WorkerGone
                if self._rooms.get(name) is not room:
                    self._end(name, index)
                    raise WorkerGone
                room.on_left = partial(self._leave, name)
                pipe = Pipe(
                    number,
                    room.places,
                    other.outlet.send,
                    partial(other.client.show, name),
                    partial(self._end, name, index),
                )
                room.add_pipe(index, pipe)
        return other.client

    def tidy(self, name: str, room: Room, now: float) -> None:
        """Once a second: close a room's pipes to where nobody watches it any more."""
        there = {one.elsewhere.index for one in room.participants.values() if one.elsewhere is not None}
        for index, pipe in list(room.pipes.items()):
            if index in there:
                pipe.used_at = now
            elif now - pipe.used_at > _SECONDS_UNUSED and not self._others[index].opening.locked():
                self._cut(name, room, index)

    def _leave(self, name: str, participant: Participant) -> None:
        self._ask_later(self.at(participant).leave_mirror(name, participant.id))

    def _end(self, name: str, index: int) -> None:
        self._ask_later(self._others[index].client.end_mirror(name))

    def _ask_later(self, asking: Awaitable[Any]) -> None:
        """Ask without waiting; a worker that is gone has forgotten them anyway."""

        async def ask() -> None:
            with contextlib.suppress(WorkerGone, WorkerRefused):
                await asking

        task = asyncio.create_task(ask(), name="farewell")
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    # What is said there

    def _hear(self, index: int, event: str, facts: dict[str, Any]) -> None:
        room = self._rooms.get(facts["room"])
        pipe = room.pipes.get(index) if room is not None else None
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
            if place is not None and place.index == index:
                if facts.get("id") == place.connection and facts.get("state") == "closed":
                    place.connection = None
                self._tell(facts["room"], event, {k: v for k, v in facts.items() if k != "room"})

    def _lose(self, index: int) -> None:
        """Another worker is gone: those who watched there come again, to wherever there is room."""
        other = self._others[index]
        other.outlet.close()
        other.lives += 1
        for name, room in list(self._rooms.items()):
            self._cut(name, room, index)

    def _cut(self, name: str, room: Room, index: int) -> None:
        """Close a room's pipe; those who watch there come again."""
        pipe = room.pipes.pop(index, None)
        if pipe is None:
            return
        pipe.close()
        for participant in list(room.participants.values()):
            place = participant.elsewhere
            if place is not None and place.index == index:
                participant.elsewhere = None
                facts = {"participant": participant.id, "id": place.connection, "kind": "subscribe"}
                self._tell(name, "transport", facts | {"state": "closed"})
