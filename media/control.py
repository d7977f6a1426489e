"""How the web process speaks to a media worker: the protocol and its client.

Messages go over a channel (media/channel.py): a unix socket, or TCP sealed with a secret when the worker is
on another host.

    request   [id, method, {arguments}]          id counts from 1
    answer    [id, true, result]  or  [id, false, code, sentence]
    event     [0, name, {facts}]

Methods: attach, detach, publish, encode, stop_encoding, play, stop_playing, subscribe, answer, view, grant,
revoke, mute, close_room, viewing, slots, occupants, encoders, know, stats. Events: slots, transport, quality,
layers, replaced, speakers. Sources are camera, microphone, screen; a slot is a place of the stage. Workers
ask each other for mirrors, too (media/spill.py), and tell each other feedback.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from media.channel import Channel, WrongSecret

_SECONDS = 5.0
_SECONDS_BETWEEN_TRIES, _SECONDS_WITH_WRONG_SECRET = 0.1, 5.0
_log = structlog.get_logger()

OnEvent = Callable[[str, dict[str, Any]], None]


class WorkerRefused(Exception):
    """The worker will not; `code` is one of bad_sdp, floor_full, superseded, not_attached, invalid."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


class WorkerGone(Exception):
    """The worker does not answer; it is restarted by its supervisor and knows nobody then."""


class WorkerClient:
    """One connection to one worker, made again when it breaks. Closed by its composition root.

    `secret` is what hosts share, for a worker on another. Who does not hear all hears of its mirrors only.
    """

    def __init__(
        self,
        address: str,
        on_event: OnEvent,
        on_lost: Callable[[], None],
        secret: bytes = b"",
        *,
        hears_all: bool = True,
    ) -> None:
        self.address = address
        self._secret = secret
        self._hears_all = hears_all
        self._on_event = on_event
        self._on_lost = on_lost
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.channel: Channel | None = None
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Keep connected until cancelled."""
        while True:
            try:
                self.channel = channel = await Channel.connect(self.address, self._secret)
            except WrongSecret:
                _log.error("control.wrong_secret", worker=self.address, hint="auth.secret differs there")
                await asyncio.sleep(_SECONDS_WITH_WRONG_SECRET)
                continue
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                await asyncio.sleep(_SECONDS_BETWEEN_TRIES)
                continue
            if not self._hears_all:
                channel.write([next(self._ids), "hush", {}])  # nobody waits for the answer
            self._ready.set()
            try:
                with contextlib.suppress(asyncio.IncompleteReadError, OSError, ValueError):
                    while True:
                        self._take(await channel.read())
            except Exception:  # of who was told: that must not end the connection for good
                _log.exception("control.internal", worker=self.address)
            finally:
                self._ready.clear()
                channel.close()
                self.channel = None
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(WorkerGone())
                self._waiting.clear()
            self._on_lost()

    async def ready(self, seconds: float) -> None:
        """Wait until the worker takes calls. Raises WorkerGone."""
        try:
            await asyncio.wait_for(self._ready.wait(), seconds)
        except TimeoutError as error:
            raise WorkerGone from error

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    def _take(self, message: list[Any]) -> None:
        if message[0] == 0:
            self._on_event(message[1], message[2])
            return
        future = self._waiting.pop(message[0], None)
        if future is None or future.done():
            return
        if message[1]:
            future.set_result(message[2])
        else:
            future.set_exception(WorkerRefused(message[2], message[3]))

    async def _call(self, method: str, **arguments: Any) -> Any:
        if self.channel is None:
            raise WorkerGone
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self.channel.write([number, method, arguments])
        try:
            return await asyncio.wait_for(future, _SECONDS)
        except TimeoutError as error:
            raise WorkerGone from error
        finally:
            self._waiting.pop(number, None)

    # Of other workers

    async def mirror(self, room: str) -> int:
        """Have a room of ours shown there as well; return the number its media is to be sent under."""
        number: int = await self._call("mirror", room=room)
        return number

    async def mirrored(
        self, room: str, participant: str, *, staff: bool, device: str, fence: int
    ) -> dict[str, Any]:
        """Let somebody into a mirror of ours. Raises WorkerRefused(not_attached) when there is none."""
        result: dict[str, Any] = await self._call(
            "mirrored", room=room, participant=participant, staff=staff, device=device, fence=fence
        )
        return result

    async def leave_mirror(self, room: str, participant: str) -> None:
        await self._call("leave_mirror", room=room, participant=participant)

    async def end_mirror(self, room: str) -> None:
        await self._call("end_mirror", room=room)

    def show(self, room: str, places: Sequence[Mapping[str, Any]], speaking: Sequence[str]) -> None:
        """Say what stands on the stage of a mirrored room, without waiting (media/mirror.py)."""
        if self.channel is not None:
            arguments = {"room": room, "places": list(places), "speaking": list(speaking)}
            self.channel.write([next(self._ids), "show", arguments])

    # Of the web processes

    async def attach(
        self,
        room: str,
        participant: str,
        *,
        staff: bool,
        device: str,
        fence: int,
        floor: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Let somebody in; return `publish`, `subscribe` and `encoder`, the ids of connections that live on.

        `fence` counts a person's entrances: an order about an older one changes nothing.
        """
        result: dict[str, Any] = await self._call(
            "attach",
            room=room,
            participant=participant,
            staff=staff,
            device=device,
            fence=fence,
            floor=list(floor),
        )
        return result

    async def detach(self, room: str, participant: str, *, fence: int) -> None:
        """Put somebody out at once, unless they have entered again since."""
        await self._call("detach", room=room, participant=participant, fence=fence)

    async def silent_for(self, room: str, participant: str) -> float | None:
        """Return the seconds since the last packet of a participant, None without a connection."""
        silent: float | None = await self._call("silent_for", room=room, participant=participant)
        return silent

    async def publish(
        self, room: str, participant: str, sdp: str, sources: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return `id`, `sdp` (the answer) and `refused` (mid -> code)."""
        result: dict[str, Any] = await self._call(
            "publish", room=room, participant=participant, sdp=sdp, sources=dict(sources)
        )
        return result

    async def encode(
        self, room: str, participant: str, sdp: str, *, picture: str, login: str
    ) -> dict[str, Any]:
        """Answer a program's offer in place of its last one; return `id` and `sdp`."""
        result: dict[str, Any] = await self._call(
            "encode", room=room, participant=participant, sdp=sdp, picture=picture, login=login
        )
        return result

    async def play(self, room: str, participant: str, sdp: str, *, picture: str) -> dict[str, Any]:
        """Answer the offer of a program that plays the class; return `id` and `sdp`."""
        result: dict[str, Any] = await self._call(
            "play", room=room, participant=participant, sdp=sdp, picture=picture
        )
        return result

    async def stop_playing(self, room: str, participant: str, number: int) -> None:
        await self._call("stop_playing", room=room, participant=participant, id=number)

    async def stop_encoding(self, room: str, participant: str, number: int) -> None:
        await self._call("stop_encoding", room=room, participant=participant, id=number)

    async def subscribe(self, room: str, participant: str, *, restart: bool) -> dict[str, Any]:
        """Return `id` and `sdp` (our offer)."""
        result: dict[str, Any] = await self._call(
            "subscribe", room=room, participant=participant, restart=restart
        )
        return result

    async def answer(self, room: str, participant: str, sdp: str) -> None:
        await self._call("answer", room=room, participant=participant, sdp=sdp)

    async def view(
        self,
        room: str,
        participant: str,
        sizes: Mapping[str, int],
        *,
        limit: int | None = None,
        pinned: str | None = None,
    ) -> None:
        """Say how high, in pixels, a page shows each section by its mid, 0 is not at all; the most that is to
        be sent to it, in bits per second; and the section that matters most to its person.
        """
        await self._call(
            "view", room=room, participant=participant, sizes=dict(sizes), limit=limit, pinned=pinned
        )

    async def grant(self, room: str, participant: str, sources: Sequence[str]) -> None:
        """Give the floor: all of the sources, or WorkerRefused(floor_full) and none."""
        await self._call("grant", room=room, participant=participant, sources=list(sources))

    async def revoke(self, room: str, participant: str, sources: Sequence[str]) -> None:
        await self._call("revoke", room=room, participant=participant, sources=list(sources))

    async def mute(self, room: str, participant: str, source: str, *, muted: bool) -> None:
        await self._call("mute", room=room, participant=participant, source=source, muted=muted)

    async def close_room(self, room: str) -> dict[str, float] | None:
        """Put everybody out; return what `viewing` would, None when there is no such room."""
        taken: dict[str, float] | None = await self._call("close_room", room=room)
        return taken

    async def viewing(self) -> dict[str, dict[str, float]]:
        """Take what each room has summed up (media.viewing): it is told once, to who asks first."""
        taken: dict[str, dict[str, float]] = await self._call("viewing")
        return taken

    async def slots(self, room: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._call("slots", room=room)
        return found

    async def occupants(self) -> dict[str, dict[str, int]]:
        """Return everybody in every room, with the fence of their entrance."""
        found: dict[str, dict[str, int]] = await self._call("occupants")
        return found

    async def encoders(self) -> list[dict[str, Any]]:
        """Return every program that sends: `room`, `participant`, `id`, and the `login` it came by."""
        found: list[dict[str, Any]] = await self._call("encoders")
        return found

    async def know(self, workers: Sequence[str]) -> None:
        """Name the workers of other hosts that may carry viewers of its rooms: all, each time."""
        await self._call("know", workers=list(workers))

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("stats")
        return found
