"""Trying the network out before a class: somebody sends to a media worker and is sent it back, as in a class.

The events of a class's media, by POST, in a room nobody else is in. It is over after a while by itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import structlog
from aiohttp import hdrs, web
from pydantic import ValidationError

from liveserver.errors import Busy, Invalid, NotFound, Refusal, TooMany, Unauthenticated
from liveserver.models.accounts import User
from liveserver.models.ids import UserId
from liveserver.services import Services
from signaling import events
from signaling.members import Bucket
from signaling.rooms import TEST_ROOM, Rooms, asked

_SECONDS = 40.0
_MOST = 20  # at once, in one process: classes come first
_PER_SECOND, _BURST = 1.0, 12.0
_MOST_PACED = 10_000
_LONGEST = 64 * 1024
_log = structlog.get_logger()

Reply = dict[str, Any]


class NetworkTestDoor:
    """Lives as long as the process."""

    def __init__(self, services: Services, rooms: Rooms) -> None:
        self._services = services
        self._rooms = rooms
        self._running: dict[str, asyncio.Task[None]] = {}
        self._paces: dict[UserId, Bucket] = {}
        self._deeds: dict[str, tuple[type[events.Payload], Callable[[User, Any], Awaitable[Reply]]]] = {
            "media.relays": (events.Nothing, self._relays),
            "media.publish": (events.Publish, self._publish),
            "media.subscribe": (events.Subscribe, self._subscribe),
            "media.answer": (events.Answer, self._answer),
        }

    def install(self, app: web.Application) -> None:
        app.router.add_post("/network-test/{event}", self.ask)
        app.router.add_delete("/network-test", self.end)

    async def ask(self, request: web.Request) -> web.Response:
        """Do what the class's event of that name does; `media.publish` comes before what watches it."""
        user = await self._caller(request)
        known = self._deeds.get(request.match_info["event"])
        if known is None:
            raise NotFound
        if (request.content_length or 0) > _LONGEST:
            raise web.HTTPRequestEntityTooLarge(_LONGEST, request.content_length or 0)
        payload_type, deed = known
        try:
            payload = payload_type.model_validate_json(await request.read())
        except ValidationError:
            raise Invalid(("body", "invalid")) from None
        return web.json_response(await deed(user, payload))

    async def end(self, request: web.Request) -> web.Response:
        await self._close(_room(await self._caller(request)))
        return web.Response(status=204)

    async def _caller(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        return (await self._services.accounts.authenticate(token.strip(), self._pace)).user

    def _pace(self, user: UserId) -> None:
        if len(self._paces) >= _MOST_PACED:
            self._paces.clear()
        if not self._paces.setdefault(user, Bucket(_PER_SECOND, _BURST)).take(time.monotonic()):
            raise TooMany(retryAfter=5)

    async def _publish(self, user: User, payload: events.Publish) -> Reply:
        room, name = _room(user), str(user.id)
        if room not in self._running and len(self._running) >= _MOST:
            raise Busy(retryAfter=15)
        worker = await self._rooms.worker(room)
        fence = time.time_ns() // 1_000_000
        for participant, staff in ((name, True), (_back(user), False)):
            await asked(worker.attach(room, participant, staff=staff, device="test", fence=fence))
        if room not in self._running:
            self._running[room] = asyncio.create_task(self._end_later(room), name="network-test")
        answer = await asked(worker.publish(room, name, payload.sdp, payload.sources))
        return {"sdp": answer["sdp"], "id": answer["id"], "refused": answer["refused"]}

    async def _subscribe(self, user: User, payload: events.Subscribe) -> Reply:
        worker = await self._rooms.worker(_room(user))
        offer = await asked(worker.subscribe(_room(user), _back(user), restart=payload.restart))
        return {"sdp": offer["sdp"], "id": offer["id"], **await self._relays(user)}

    async def _relays(self, user: User, _payload: events.Nothing | None = None) -> Reply:
        return {"iceServers": [asdict(relay) for relay in self._services.relays.of(user.id)]}

    async def _answer(self, user: User, payload: events.Answer) -> Reply:
        worker = await self._rooms.worker(_room(user))
        await asked(worker.answer(_room(user), _back(user), payload.sdp))
        return {}

    async def _end_later(self, room: str) -> None:
        await asyncio.sleep(_SECONDS)
        self._running.pop(room, None)
        try:
            await self._close(room)
        except Refusal as refusal:
            _log.warning("network_test.not_closed", code=refusal.code)  # the worker forgets it when we go

    async def _close(self, room: str) -> None:
        task = self._running.pop(room, None)
        if task is not None:
            task.cancel()
        try:
            await asked((await self._rooms.worker(room)).close_room(room))
        finally:
            self._rooms.forget(room)


def _room(user: User) -> str:
    return f"{TEST_ROOM}{user.id}"


def _back(user: User) -> str:
    """The one who watches: nobody is sent themselves."""
    return f"{user.id}:back"
