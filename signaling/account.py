"""The namespace /account: a socket of somebody who is signed in, told what they are notified of.

It takes one event, `auth.refresh`; everything else about an account goes by REST.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import socketio
import structlog
from pydantic import ValidationError
from socketio.exceptions import ConnectionRefusedError as Refusing

from liveserver.errors import Refusal, Unauthenticated, Unavailable
from liveserver.models.accounts import Login, User
from liveserver.models.ids import FamilyId, UserId
from liveserver.models.notifications import Notification
from liveserver.services import Services
from liveserver.services.wording import words_of
from signaling.events import Renewal
from signaling.links import Links
from signaling.members import Bucket

NAMESPACE = "/account"
_WARN_BEFORE, _CLOSE_AFTER = 60.0, 30.0  # seconds around the end of a socket's authorisation
_log = structlog.get_logger()

Happening = dict[str, Any]


@dataclass(slots=True, eq=False)
class AccountSocket:
    """One signed-in socket; `authorised_until` is when its access token runs out."""

    sid: str
    user: User
    family: FamilyId
    authorised_until: float
    events: Bucket
    warned: bool = False


class AccountSockets(socketio.AsyncNamespace):  # type: ignore[misc]
    """Every account socket of this process, and what they are told. Its tasks are the composition root's."""

    def __init__(
        self, sio: socketio.AsyncServer, services: Services, links: Links, *, access_seconds: int
    ) -> None:
        super().__init__(NAMESPACE)
        self._sio = sio
        self._services = services
        self._links = links
        self._access_seconds = access_seconds
        self._sockets: dict[str, AccountSocket] = {}
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        sio.register_namespace(self)

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Take every event of the namespace; python-socketio calls this."""
        if event == "connect":
            return await self._connect(*args)
        if event == "disconnect":
            self._sockets.pop(args[0], None)
            return None
        return await self._event(event, *args)

    async def _connect(self, sid: str, _environ: Mapping[str, Any], auth: Any = None) -> None:
        link = self._links.get(self._sio.manager.eio_sid_from_sid(sid, NAMESPACE))
        try:
            token = auth.get("accessToken") if isinstance(auth, dict) else None
            login = await self._authenticated(token)
        except Refusal as refusal:
            if link is not None:
                link.refused += 1
            raise Refusing(refusal.code, {"code": refusal.code}) from None
        if link is not None:
            link.entered = True
        self._sockets[sid] = AccountSocket(
            sid, login.user, login.family, time.monotonic() + self._access_seconds, Bucket(1.0, 5.0)
        )

    async def _authenticated(self, token: object) -> Login:
        if not isinstance(token, str):
            raise Unauthenticated
        return await self._services.accounts.authenticate(token)

    async def _event(self, event: str, sid: str, *args: Any) -> dict[str, Any]:
        socket = self._sockets.get(sid)
        if socket is None or not socket.events.take(time.monotonic()):
            await self._sio.disconnect(sid, namespace=NAMESPACE)
            return {"error": {"code": "too_many_requests"}}
        if event != "auth.refresh":
            return {"error": {"code": "invalid"}}
        try:
            renewal = Renewal.model_validate(args[0] if args else {})
            login = await self._authenticated(renewal.access_token)
        except ValidationError:
            return {"error": {"code": "invalid"}}
        except Refusal as refusal:
            return {"error": {"code": refusal.code}}
        if login.user.id != socket.user.id:
            return {"error": {"code": "token_invalid"}}
        socket.family = login.family
        socket.authorised_until = time.monotonic() + self._access_seconds
        socket.warned = False
        return {"ok": {}}

    # What they are told

    def happened(self, happening: Happening) -> None:
        """Take a happening off the bus."""
        if happening["kind"] == "notified" and self._sockets:
            self._keys.put_nowait(str(happening["key"]))

    async def run(self) -> None:
        """Tell of notifications, in their order."""
        while True:
            key = await self._keys.get()
            try:
                await self._tell(key)
            except Refusal as refusal:
                _log.warning("account.telling_refused", code=refusal.code)
            except Exception:
                _log.exception("account.internal")

    async def _tell(self, key: str) -> None:
        by_user: dict[UserId, list[AccountSocket]] = {}
        for socket in self._sockets.values():
            by_user.setdefault(socket.user.id, []).append(socket)
        for told in await self._services.notifications.told(key, list(by_user)):
            for socket in by_user.get(told.user_id, []):
                await self._to(socket, "notification", _facts(told, socket.user.locale))

    async def watch(self) -> None:
        """Each second: authorisations and logins that have ended."""
        while True:
            await asyncio.sleep(1)
            try:
                await self._check()
            except Unavailable as error:
                _log.warning("account.unavailable", code=error.code)
            except Exception:
                _log.exception("account.internal")

    async def _check(self) -> None:
        now = time.monotonic()
        ended: set[FamilyId] = set()
        families = {socket.family for socket in self._sockets.values()}
        if families:
            ended = await self._services.accounts.ended_among(list(families))
        for socket in list(self._sockets.values()):
            left = socket.authorised_until - now
            if socket.family in ended or left <= -_CLOSE_AFTER:
                await self._to(socket, "auth.expired", {})
                await self._sio.disconnect(socket.sid, namespace=NAMESPACE)
            elif left <= _WARN_BEFORE and not socket.warned:
                socket.warned = True
                await self._to(socket, "auth.expiring", {"seconds": int(left)})

    async def _to(self, socket: AccountSocket, event: str, facts: Happening) -> None:
        await self._sio.emit(event, facts, to=socket.sid, namespace=NAMESPACE)


def _facts(told: Notification, language: str) -> dict[str, Any]:
    """Return a notification in the form `GET /api/notifications` has it."""
    title, body = words_of(told, language)
    return {
        "id": str(told.id),
        "kind": told.kind.value,
        "title": title,
        "body": body,
        "facts": dict(told.facts),
        "createdAt": told.created_at.isoformat().replace("+00:00", "Z"),
    }
