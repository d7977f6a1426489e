"""What the server tells members: what happened on the bus and in the media workers, and time passing.

Happenings come as plain calls; they wait in one queue and are told in their order by one task.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import socketio
import structlog

from liveserver.errors import Refusal, SeatsRebuilt, Unavailable
from liveserver.models.ids import LiveSessionId, UserId
from liveserver.services import Services
from signaling.members import Member, Members
from signaling.rooms import Rooms, asked

_NAMESPACE = "/classroom"
_WARN_BEFORE, _CLOSE_AFTER = 60.0, 30.0  # seconds around the end of a socket's authorisation
_log = structlog.get_logger()

Happening = dict[str, Any]


class Telling:
    """Owns the tasks that watch over members; run by the composition root."""

    def __init__(
        self,
        sio: socketio.AsyncServer,
        services: Services,
        members: Members,
        rooms: Rooms,
        *,
        node: str,
        renew_seconds: int,
    ) -> None:
        self._sio = sio
        self._services = services
        self._members = members
        self._rooms = rooms
        self._node = node
        self._renew_seconds = renew_seconds
        self._queue: asyncio.Queue[tuple[str, Happening]] = asyncio.Queue()
        self._told: dict[str, Callable[[Happening], Awaitable[None]]] = {
            "attendee": self._attendee,
            "chat.said": self._chat,
            "muted": self._muted,
            "seat.confirmed": self._confirmed,
            "seat.closed": self._seat_closed,
            "seats.rebuild": self._rebuild,
            "session.changed": self._session_changed,
            "session.ended": self._session_ended,
            "login.revoked": self._login_revoked,
            "media.slots": self._slots,
            "media.transport": self._transport,
            "media.lost": self._media_lost,
        }

    # What comes in

    def happened(self, happening: Happening) -> None:
        """Take a happening off the bus."""
        self._queue.put_nowait((happening["kind"], happening))

    def worker_said(self, name: str, facts: Happening) -> None:
        self._queue.put_nowait((f"media.{name}", facts))

    def worker_lost(self, index: int) -> None:
        self._queue.put_nowait(("media.lost", {"index": index}))

    # Tasks

    async def run(self) -> None:
        while True:
            kind, happening = await self._queue.get()
            tell = self._told.get(kind)
            if tell is None:
                continue
            try:
                await tell(happening)
            except Refusal as refusal:
                _log.warning("telling.refused", kind=kind, code=refusal.code)
            except Exception:
                _log.exception("telling.internal", kind=kind)

    async def watch(self) -> None:
        """Each second: authorisations that end, classes that are over though nobody told us."""
        while True:
            await asyncio.sleep(1)
            try:
                await self._check_authorisations()
                await self._check_sessions()
            except Unavailable as error:
                _log.warning("watch.unavailable", code=error.code)
            except Exception:
                _log.exception("watch.internal")

    async def renew(self) -> None:
        """Keep the seats of our members; whose seat is lost must go."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            for session_id, members in self._members.by_session().items():
                try:
                    await self._renew(session_id, members)
                except SeatsRebuilt as rebuilt:
                    await self._rebuild({"session": str(session_id), "epoch": rebuilt.details["epoch"]})
                except Unavailable as error:
                    _log.warning("renew.unavailable", code=error.code)  # the class goes on
                except Exception:
                    _log.exception("renew.internal")

    async def drain(self) -> None:
        """The process stops: put every seat in grace, for the page to come back elsewhere."""
        for member in self._members:
            member.leaving = True
            self._members.remove(member.sid)
            try:
                await self._services.seats.drop(member.seat, silent_for=0)
            except Refusal as refusal:
                _log.warning("drain.drop_failed", code=refusal.code)
            await self._sio.disconnect(member.sid, namespace=_NAMESPACE)

    async def _renew(self, session_id: LiveSessionId, members: list[Member]) -> None:
        by_epoch: dict[int, list[Member]] = {}
        for member in members:
            by_epoch.setdefault(member.seat.epoch, []).append(member)
        for epoch, some in by_epoch.items():
            held = [(member.seat.user_id, member.seat.fence) for member in some]
            lost = await self._services.seats.renew(session_id, epoch, held)
            for member in some:
                if member.seat.user_id in lost:
                    await self._put_out(member, "seat.lost", {"code": "seat_expired"})

    async def _check_authorisations(self) -> None:
        now = time.monotonic()
        for member in self._members:
            left = member.authorised_until - now
            if left <= -_CLOSE_AFTER:
                await self.to(member.sid, "auth.expired", {})
                await self._sio.disconnect(member.sid, namespace=_NAMESPACE)
            elif left <= _WARN_BEFORE and not member.warned:
                member.warned = True
                await self.to(member.sid, "auth.expiring", {"seconds": int(left)})

    async def _check_sessions(self) -> None:
        ours = set(self._members.by_session())
        if ours:
            for session_id in await self._services.live_sessions.ended_among(ours):
                await self._session_ended({"session": str(session_id), "reason": "ended"})

    # Telling

    async def to(self, sid: str, event: str, facts: Happening) -> None:
        await self._sio.emit(event, facts, to=sid, namespace=_NAMESPACE)

    async def _everybody(self, room: str, event: str, facts: Happening) -> None:
        await self._sio.emit(event, facts, room=room, namespace=_NAMESPACE)

    async def _attendee(self, said: Happening) -> None:
        await self._everybody(said["session"], "attendee", said["attendee"])

    async def _chat(self, said: Happening) -> None:
        await self._everybody(said["session"], "chat.said", said["message"])

    async def _slots(self, said: Happening) -> None:
        await self._everybody(said["room"], "media.slots", {"slots": said["slots"]})

    async def _transport(self, said: Happening) -> None:
        for member in self._here(said["room"], said["participant"]):
            await self.to(
                member.sid,
                "media.transport",
                {"id": said["id"], "kind": said["kind"], "state": said["state"]},
            )

    async def _muted(self, said: Happening) -> None:
        for member in self._here(said["session"], said["user"]):
            await self.to(member.sid, "media.muted", {"source": said["source"]})

    async def _confirmed(self, said: Happening) -> None:
        """A newer connection of the same person took over: the older ones are told and closed."""
        for member in self._here(said["session"], said["user"]):
            if member.sid != said["conn"] and member.seat.rank < said["rank"]:
                await self._put_out(member, "seat.superseded", {"code": "seat_superseded"}, detach=False)

    async def _seat_closed(self, said: Happening) -> None:
        room, user = said["session"], said["user"]
        members = self._here(room, user)
        try:
            # Media first: it must stop even if the socket is slow to go.
            await asked(self._rooms.worker(room).detach(room, user, fence=said["rank"]))
        finally:
            for member in members:
                if member.seat.rank <= said["rank"]:
                    await self._put_out(member, "seat.lost", {"code": said["reason"]}, detach=False)
            if all(member.seat.rank <= said["rank"] for member in members):
                await self._everybody(room, "attendee.left", {"userId": user})

    async def _session_changed(self, said: Happening) -> None:
        await self._everybody(said["session"], "session.changed", {"id": said["session"]})

    async def _session_ended(self, said: Happening) -> None:
        room = said["session"]
        members = self._members.of(LiveSessionId(UUID(room)))
        for member in members:
            member.leaving = True
            self._members.remove(member.sid)
        try:
            await asked(self._rooms.worker(room).close_room(room))
        finally:
            await self._everybody(room, "session.ended", {"id": room, "reason": said["reason"]})
            for member in members:
                await self._sio.disconnect(member.sid, namespace=_NAMESPACE)

    async def _login_revoked(self, said: Happening) -> None:
        for member in self._members:
            if member.family == said["family"]:
                try:
                    await self._services.seats.leave(member.user, member.seat.session_id)
                except Refusal:
                    await self._put_out(member, "seat.lost", {"code": "left"})

    async def _rebuild(self, said: Happening) -> None:
        """The ledger was lost: say who really is here, before admissions open again."""
        for member in self._members.of(LiveSessionId(UUID(said["session"]))):
            if member.seat.epoch >= said["epoch"]:
                continue  # said before
            seat = await self._services.seats.reassert(
                member.seat, said["epoch"], conn_id=member.sid, node=self._node
            )
            if seat is None:
                await self._put_out(member, "seat.lost", {"code": "seat_expired"})
            else:
                member.seat = seat
                member.session = replace(member.session, seat_epoch=seat.epoch)

    async def _media_lost(self, said: Happening) -> None:
        """A worker died: its members enter its successor again and negotiate anew."""
        waiting = [m for m in self._members if self._rooms.index_of(m.room) == said["index"]]
        if not waiting:
            return
        if not await self._rooms.wait(said["index"], 5.0):
            self.worker_lost(said["index"])  # it is told again, behind what waits meanwhile
            return
        for member in waiting:
            try:
                await self._enter_again(member)
            except Refusal as refusal:
                _log.warning("media.reattach_failed", code=refusal.code)

    async def _enter_again(self, member: Member) -> None:
        if self._members.get(member.sid) is not member:
            return
        await self._rooms.enter(member, await self._services.classroom.floor_of(member.seat))
        await self.to(member.sid, "media.lost", {})

    def _here(self, room: str, user: str) -> list[Member]:
        user_id = UserId(UUID(user))
        return [member for member in self._members.of_user(user_id) if member.room == room]

    async def _put_out(self, member: Member, event: str, facts: Happening, *, detach: bool = True) -> None:
        member.leaving = True
        self._members.remove(member.sid)
        await self.to(member.sid, event, facts)
        await self._sio.disconnect(member.sid, namespace=_NAMESPACE)
        if detach:
            await asked(
                self._rooms.worker(member.room).detach(member.room, member.name, fence=member.seat.rank)
            )
