"""The socket door: connections, the error boundary of events, and what is told to whom.

python-socketio runs the events of one socket side by side, and offers every `on_*` method to clients;
so events go through one table (signaling/classroom.py), and nothing here is named `on_*`.
"""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import socketio
import structlog
from aiohttp import web
from pydantic import ValidationError
from socketio.exceptions import ConnectionRefusedError as Refusing
from socketio.packet import Packet

from liveserver.errors import Invalid, MediaUnavailable, Refusal, SeatExpired, TooMany
from liveserver.models.live_sessions import Entrance
from liveserver.services import Services
from liveserver.services.classroom import attendee_json
from signaling.account import NAMESPACE as ACCOUNT
from signaling.classroom import EVENTS, ClassroomDoor
from signaling.links import Links
from signaling.members import Member, Members
from signaling.rooms import Rooms, asked
from signaling.telling import Telling

NAMESPACE = "/classroom"
PING_INTERVAL, PING_TIMEOUT = 5, 20
_LARGEST_MESSAGE = 64 * 1024
_LONGEST_DEVICE = 64
_PING_SLACK = 2.0  # seconds a slow link may answer late
_log = structlog.get_logger()


def server(app: web.Application, allowed_origins: frozenset[str], links: Links) -> socketio.AsyncServer:
    """Return the Socket.IO server, websocket only, on /socket.io of `app`."""

    def is_allowed(origin: str, environ: Mapping[str, Any]) -> bool:
        try:
            host = urlsplit(origin).netloc
        except ValueError:
            return False
        return host == environ.get("HTTP_HOST", "") or origin in allowed_origins

    sio = _Server(
        async_mode="aiohttp",
        transports=["websocket"],
        cors_allowed_origins=is_allowed,
        max_http_buffer_size=_LARGEST_MESSAGE,
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_TIMEOUT,
        http_compression=False,
        always_connect=False,
        namespaces=[NAMESPACE, ACCOUNT],
        serializer=_TextPacket,
    )
    sio.links = links
    sio.attach(app)
    return sio


class _Server(socketio.AsyncServer):  # type: ignore[misc]
    """Notes its connections, and refuses what python-socketio would pass on: a client's event may not be
    named like one of its own (`connect`, `disconnect`), and must be a name.
    """

    links: Links

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        self.links.open(eio_sid, self.eio.sockets[eio_sid])
        await super()._handle_eio_connect(eio_sid, environ)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        try:
            await super()._handle_eio_disconnect(eio_sid, reason)
        finally:
            self.links.forget(eio_sid)

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: Any, data: Any) -> None:  # noqa: A002
        named = isinstance(data, list) and bool(data) and isinstance(data[0], str)
        if named and data[0] not in {"connect", "disconnect"}:
            await super()._handle_event(eio_sid, namespace, id, data)


class _TextPacket(Packet):  # type: ignore[misc]
    """A packet without attachments: binary frames would be kept in memory until they are complete."""

    def decode(self, encoded_packet: str) -> int:
        if encoded_packet[:1] in {"5", "6"}:
            raise ValueError("binary packets are refused")
        attachments: int = super().decode(encoded_packet)
        return attachments


class Hub(socketio.AsyncNamespace):  # type: ignore[misc]
    """The namespace /classroom. Lives as long as the process; `telling` outlives no member."""

    def __init__(
        self,
        sio: socketio.AsyncServer,
        services: Services,
        members: Members,
        rooms: Rooms,
        telling: Telling,
        *,
        node: str,
        access_seconds: int,
        links: Links,
    ) -> None:
        super().__init__(NAMESPACE)
        self._sio = sio
        self._services = services
        self._members = members
        self._rooms = rooms
        self._telling = telling
        self._door = ClassroomDoor(services, rooms, members)
        self._node = node
        self._access_seconds = access_seconds
        self._links = links
        sio.register_namespace(self)

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Take every event of the namespace; python-socketio calls this."""
        if event == "connect":
            return await self._connect(*args)
        if event == "disconnect":
            return await self._disconnect(args[0], args[1] if len(args) > 1 else "")
        return await self._event(event, *args)

    # Coming and going

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        language = str(environ.get("HTTP_ACCEPT_LANGUAGE", ""))[:2]
        link = self._links.get(self._eio_sid(sid))
        try:
            ticket, device = _credentials(auth)
            entrance = await self._services.seats.confirm(ticket, conn_id=sid, node=self._node)
            try:
                await self._admit(sid, entrance, device)
            except BaseException:
                # python-socketio tells nobody of a socket it refused: without this the seat stayed.
                member = self._members.get(sid)
                if member is not None:
                    await self._telling.undo(member)
                raise
            if link is not None:
                link.entered = True
        except Refusal as refusal:
            if link is not None:
                link.refused += 1
            _log.info("socket.refused", code=refusal.code, language=language)
            raise Refusing(refusal.code, _explain(refusal)) from None
        except Exception:
            _log.exception("socket.internal", doing="connect")
            raise Refusing("internal", {"code": "internal"}) from None

    async def _admit(self, sid: str, entrance: Entrance, device: str) -> None:
        seat = entrance.seat
        member = Member(
            sid=sid,
            seat=seat,
            user=entrance.user,
            session=entrance.session,
            family=entrance.family,
            device=device,
            authorised_until=time.monotonic() + self._access_seconds,
        )
        self._members.add(member)
        media = await self._attach(member)
        snapshot = await self._services.classroom.snapshot(entrance.session)
        slots = await self._slots(member)
        self._require_member(member)
        await self._sio.enter_room(sid, member.room, namespace=NAMESPACE)
        await self._telling.to(
            sid,
            "welcome",
            {
                "you": {
                    "userId": member.name,
                    "name": member.user.name,
                    "role": "staff" if seat.is_staff else "student",
                    "slot": seat.slot or None,
                },
                "session": {
                    "id": member.room,
                    "title": snapshot.session.title,
                    "endsAt": snapshot.session.ends_at.isoformat().replace("+00:00", "Z"),
                    "maxStudents": snapshot.session.max_students,
                },
                "attendees": [attendee_json(one) for one in snapshot.attendees],
                "chat": snapshot.chat,
                "slots": slots,
                "media": media,
            },
        )
        await self._services.seats.announce(seat, conn_id=sid)
        await self._services.classroom.entered(seat, member.user)
        self._require_member(member)

    def _require_member(self, member: Member) -> None:
        """Raise when the class ended, or the person was put out or took over elsewhere, meanwhile.

        While a socket is being connected it cannot be disconnected, only refused.
        """
        if self._members.get(member.sid) is not member:
            raise SeatExpired

    async def _slots(self, member: Member) -> list[dict[str, Any]]:
        try:
            return await asked((await self._rooms.worker(member.room)).slots(member.room))
        except MediaUnavailable:
            return []

    async def _attach(self, member: Member) -> dict[str, Any]:
        """Let the member into the media room; its connections of the same page live on."""
        floor = await self._services.classroom.floor_of(member.seat)
        try:
            return await self._rooms.enter(member, floor)
        except MediaUnavailable:
            # Seated, heard of, able to chat; `media.lost` brings the rest, once a worker takes them.
            member.unattached = True
            return {"publish": None, "subscribe": None}

    async def _disconnect(self, sid: str, _reason: str) -> None:
        """The socket is gone. While media of theirs is heard they are still here: telling.py drops them
        when it ends.
        """
        member = self._members.get(sid)
        if member is None or member.leaving:
            self._members.remove(sid)
            return
        now = time.monotonic()
        link = self._links.get(self._eio_sid(sid))
        # Who is well answers a ping every five seconds. Silence longer than that is a link that had failed
        # before it was closed; shorter, and the closing itself is the last that was heard.
        heard_at = link.heard_at if link is not None else now
        member.lost_at = heard_at if now - heard_at > PING_INTERVAL + _PING_SLACK else now
        await self._telling.lost(member)

    def _eio_sid(self, sid: str) -> str | None:
        eio_sid: str | None = self._sio.manager.eio_sid_from_sid(sid, NAMESPACE)
        return eio_sid

    # Events

    async def _event(self, event: str, sid: str, *args: Any) -> dict[str, Any]:
        member = self._members.get(sid)
        if member is None:
            await self._sio.disconnect(sid, namespace=NAMESPACE)
            return {"error": {"code": SeatExpired.code}}
        if not member.may(event, time.monotonic()):
            if member.breach():
                await self._sio.disconnect(sid, namespace=NAMESPACE)
            return {"error": _explain(TooMany(retryAfter=1))}
        try:
            answer = await self._perform(event, member, args)
        except Refusal as refusal:
            return {"error": _explain(refusal)}
        except Exception:
            _log.exception("socket.internal", doing=event if event in EVENTS else "unknown")
            return {"error": {"code": "internal"}}
        return {"ok": answer}

    async def _perform(self, event: str, member: Member, args: tuple[Any, ...]) -> dict[str, Any]:
        known = EVENTS.get(event)
        if known is None:
            raise Invalid(("event", "unknown"))
        payload_type, deed = known
        if len(args) > 1:
            raise Invalid(("payload", "one_object"))
        try:
            payload = payload_type.model_validate(args[0] if args else {})
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise Invalid(
                *((".".join(map(str, one["loc"])) or "payload", one["type"]) for one in problems[:20])
            ) from None
        answer = await deed(self._door, member, payload)
        if event == "auth.refresh":
            member.authorised_until = time.monotonic() + self._access_seconds
        return answer


def _credentials(auth: Any) -> tuple[str, str]:
    """Take ticket and device of the connect packet; a device is a page's own random name."""
    if not isinstance(auth, dict) or not isinstance(auth.get("ticket"), str):
        raise Invalid(("auth.ticket", "required"))
    device = auth.get("device", "")
    if not isinstance(device, str) or not device.isascii() or len(device) > _LONGEST_DEVICE:
        raise Invalid(("auth.device", "invalid"))
    return auth["ticket"], device


def _explain(refusal: Refusal) -> dict[str, Any]:
    facts: dict[str, Any] = {"code": refusal.code, **refusal.details}
    if isinstance(refusal, Invalid) and refusal.fields:
        facts["errors"] = [{"field": path, "code": code} for path, code in refusal.fields]
    return facts
