"""Programs in a class by one HTTP request: WHIP (RFC 9725) to send for a teacher, WHEP to play.

A player takes a seat as a page does, and the place of its person's page. An encoder (OBS, GStreamer) comes
beside the teacher's page when that is in the class, and enters as the teacher where it is not. Candidates are
in the answer, so nothing is trickled. ICE is not restarted: a new request takes the last one's place.
"""

import contextlib
import math
import secrets
import time
from dataclasses import asdict
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from liveserver.errors import (
    Forbidden,
    Invalid,
    MediaUnavailable,
    NotFound,
    SessionCancelled,
    TooMany,
    Unauthenticated,
)
from liveserver.models.accounts import Login
from liveserver.models.ids import LiveSessionId, UserId
from liveserver.models.live_sessions import Admission, LiveSession, SeatState
from liveserver.services import Services
from signaling.members import ENCODER, PLAYER, Bucket, Member, Members
from signaling.rooms import Rooms, asked
from signaling.telling import Telling

_SDP = "application/sdp"
_LONGEST = 32 * 1024
_PER_SECOND, _BURST, _MOST_PACED = 0.5, 6.0, 1000
_PICTURES = {"camera", "screen"}


class ProgramDoor:
    """Lives as long as the process."""

    def __init__(
        self, services: Services, rooms: Rooms, members: Members, telling: Telling, *, node: str
    ) -> None:
        self._services = services
        self._rooms = rooms
        self._members = members
        self._telling = telling
        self._node = node
        self._paces: dict[UserId, Bucket] = {}

    def install(self, app: web.Application) -> None:
        app.router.add_post("/whip/{session}", self.begin)
        app.router.add_delete("/whip/{session}/{id:[0-9]{1,12}}", self.end)
        app.router.add_post("/whep/{session}", self.play)
        app.router.add_delete("/whep/{session}/{id:[0-9]{1,12}}", self.stop_playing)
        for door in ("whip", "whep"):
            app.router.add_get(f"/{door}/{{path:.*}}", _nothing_to_see)  # a page's pattern would take it

    async def begin(self, request: web.Request) -> web.Response:
        """Answer an offer; 201 with where to DELETE it."""
        login, session = await self._opened(request)
        if login.user.id not in session.staff:
            raise Forbidden
        picture, offer = _picture(request), await _offer(request)
        room, name = str(session.id), str(login.user.id)
        figures = await self._services.seats.figures_of(session, login.user.id)
        # Their page may be in the class; in no other way does anybody send without a seat of their own.
        entered = None if figures.mine is SeatState.SEATED else await self._enter(login, session, ENCODER)
        try:
            worker = await self._rooms.worker(room)
            answer = await asked(worker.encode(room, name, offer, picture=picture, login=str(login.family)))
        except BaseException as error:
            if entered is not None:
                await self._telling.undo(entered)
            elif isinstance(error, NotFound):  # their page is on its way in, or back
                raise MediaUnavailable(retryAfter=2) from error
            raise
        return self._answered("whip", room, answer, login)

    async def end(self, request: web.Request) -> web.Response:
        """Stop sending; again changes nothing."""
        login, session = await self._opened(request)
        worker = await self._rooms.worker(str(session.id))
        with contextlib.suppress(NotFound):
            await asked(
                worker.stop_encoding(str(session.id), str(login.user.id), int(request.match_info["id"]))
            )
        return web.Response()

    async def play(self, request: web.Request) -> web.Response:
        """Answer an offer to receive; 201 with where to DELETE it. Their page, if any, is put out."""
        login, session = await self._opened(request)
        picture, offer = _picture(request), await _offer(request)
        room, name = str(session.id), str(login.user.id)
        member = await self._enter(login, session, PLAYER)
        try:
            worker = await self._rooms.worker(room)
            answer = await asked(worker.play(room, name, offer, picture=picture))
            self._require(member)
        except BaseException:
            await self._telling.undo(member)
            raise
        member.playing = int(answer["id"])
        return self._answered("whep", room, answer, login)

    async def stop_playing(self, request: web.Request) -> web.Response:
        """Stop playing, and give the seat up; again changes nothing."""
        login, session = await self._opened(request)
        worker = await self._rooms.worker(str(session.id))
        with contextlib.suppress(NotFound):
            await asked(
                worker.stop_playing(str(session.id), str(login.user.id), int(request.match_info["id"]))
            )
        return web.Response()

    def _answered(self, door: str, room: str, answer: dict[str, Any], login: Login) -> web.Response:
        return web.Response(
            status=201,
            text=answer["sdp"],
            content_type=_SDP,
            headers={
                "Location": f"/{door}/{room}/{answer['id']}",
                "ETag": f'"{answer["id"]}"',
                **self._links(login),
            },
        )

    async def _opened(self, request: web.Request) -> tuple[Login, LiveSession]:
        """Return whose key it is, and its class, which runs. Raises as `Seats.live` does, and TooMany."""
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Unauthenticated
        try:
            session_id = LiveSessionId(UUID(request.match_info["session"]))
        except ValueError:
            raise NotFound from None
        login = await self._services.media_keys.open(key.strip(), session_id)
        pace = self._paces.setdefault(login.user.id, Bucket(_PER_SECOND, _BURST))
        if not pace.take(time.monotonic()):
            raise TooMany(retryAfter=2)
        if len(self._paces) > _MOST_PACED:
            del self._paces[next(iter(self._paces))]
        return login, await self._services.seats.live(login.user, session_id)

    async def _enter(self, login: Login, session: LiveSession, device: str) -> Member:
        """Take the person's place in the class, by the same steps as a page."""
        conn_id = f"{device}-{secrets.token_hex(8)}"
        admission = await self._services.seats.join(login, session.id)
        if not isinstance(admission, Admission):
            raise SessionCancelled(reason="link")  # it is held elsewhere by now
        entrance = await self._services.seats.confirm(admission.ticket, conn_id=conn_id, node=self._node)
        member = Member(
            sid=conn_id,
            seat=entrance.seat,
            user=entrance.user,
            session=entrance.session,
            family=entrance.family,
            device=device,
            authorised_until=math.inf,  # as long as the login it came by; telling.py asks for that
        )
        self._members.add(member)
        try:
            await self._rooms.enter(member, await self._services.classroom.floor_of(member.seat))
            await self._services.seats.announce(member.seat, conn_id=conn_id)
            await self._services.classroom.entered(member.seat, member.user)
            self._require(member)
        except BaseException:
            await self._telling.undo(member)
            raise
        return member

    def _require(self, member: Member) -> None:
        """Raise when the class ended meanwhile, or their page came."""
        if self._members.get(member.sid) is not member:
            raise MediaUnavailable(retryAfter=2)

    def _links(self, login: Login) -> dict[str, str]:
        """Name the TURN servers, if there are any."""
        relays = [asdict(one) for one in self._services.relays.of(login.user.id)]
        links = ", ".join(
            f'<{url}>; rel="ice-server"; username="{one["username"]}"; credential="{one["credential"]}"'
            for one in relays
            for url in one["urls"]
        )
        return {"Link": links} if links else {}


def _picture(request: web.Request) -> str:
    picture = request.query.get("source", "camera")
    if picture not in _PICTURES:
        raise Invalid(("query.source", "unknown"))
    return picture


async def _nothing_to_see(request: web.Request) -> web.Response:
    raise web.HTTPMethodNotAllowed(request.method, ["POST", "DELETE"])


async def _offer(request: web.Request) -> str:
    if request.content_type != _SDP:
        raise web.HTTPUnsupportedMediaType
    if (request.content_length or 0) > _LONGEST:
        raise web.HTTPRequestEntityTooLarge(_LONGEST, request.content_length or 0)
    body = await request.read()
    if len(body) > _LONGEST:
        raise web.HTTPRequestEntityTooLarge(_LONGEST, len(body))
    return body.decode("utf-8", "replace")
