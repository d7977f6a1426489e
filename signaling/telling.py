"""What the server tells members: what happened on the bus and in the media workers, and time passing.

Happenings come as plain calls; they wait in one queue and are told in their order by one task.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import socketio
import structlog

from liveserver.errors import MediaUnavailable, Refusal, SeatsRebuilt, Unavailable
from liveserver.models.ids import FamilyId, LiveSessionId, UserId
from liveserver.services import Services
from media.control import WorkerClient
from signaling.links import Links
from signaling.members import ENCODER, PROGRAMS, Member, Members
from signaling.reattaching import Reattaching
from signaling.rooms import TEST_ROOM, Rooms, asked

_NAMESPACE = "/classroom"
_WARN_BEFORE, _CLOSE_AFTER = 60.0, 30.0  # seconds around the end of a socket's authorisation
_MEDIA_SILENT = 6.0  # seconds; browsers report every one or two, and check ICE every five at most
_SECONDS_BETWEEN_MEDIA_CHECKS = 5.0
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
        links: Links,
        node: str,
        renew_seconds: int,
        grace_seconds: int,
    ) -> None:
        self._sio = sio
        self._services = services
        self._members = members
        self._rooms = rooms
        self._links = links
        self._node = node
        self._renew_seconds = renew_seconds
        self._grace_seconds = grace_seconds
        self._media_checked_at = 0.0
        self._reattaching = Reattaching(services, members, rooms, self)
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
            "media.quality": self._quality,
            "media.layers": self._layers,
            "media.replaced": self._replaced,
            "media.speakers": self._speakers,
        }

    # What comes in

    def happened(self, happening: Happening) -> None:
        """Take a happening off the bus."""
        self._queue.put_nowait((happening["kind"], happening))

    def worker_said(self, name: str, facts: Happening) -> None:
        self._queue.put_nowait((f"media.{name}", facts))

    def worker_lost(self, worker: str) -> None:
        self._reattaching.worker_lost(worker)

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
                await self._check_logins()
                await self._check_lost()
                await self._check_media()
                await self._links.sweep(time.monotonic())
            except Unavailable as error:
                _log.warning("watch.unavailable", code=error.code)
            except Exception:
                _log.exception("watch.internal")

    async def follow(self) -> None:
        """Have members enter where their class is now."""
        await self._reattaching.run()

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
        self._reattaching.close()
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
            # Who was taken over by another socket is put out by `seat.confirmed`, not by an old fence.
            if not self._members.has_newer(member):
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

    async def lost(self, member: Member) -> None:
        """A socket is gone; its person may still be heard on media, or be back in a moment."""
        if not await self._still_heard(member):
            await self.drop(member)
            return
        with contextlib.suppress(Refusal):
            await self._services.classroom.away(member.seat, member.user)

    async def _check_lost(self) -> None:
        for member in self._members:
            if member.lost_at is not None and not await self._still_heard(member):
                await self.drop(member)

    async def _still_heard(self, member: Member) -> bool:
        """Say whether media of theirs arrives; note when the last did. A page without a socket has the
        grace to find one.
        """
        now = time.monotonic()
        assert member.lost_at is not None  # noqa: S101 - asked of those only
        member.socket_lost_at = member.socket_lost_at or now
        try:
            silent = await asked((await self._rooms.worker(member.room)).silent_for(member.room, member.name))
        except Refusal:
            silent = None
        if silent is None:
            return False
        member.lost_at = max(member.lost_at, now - silent)
        return silent < _MEDIA_SILENT and now - member.socket_lost_at < self._grace_seconds

    async def drop(self, member: Member) -> None:
        """Begin the grace, counted from the last that was heard."""
        self._members.remove(member.sid)
        silent = time.monotonic() - (member.lost_at or time.monotonic())
        try:
            if await self._services.seats.drop(member.seat, silent_for=max(0.0, silent)):
                await self._services.classroom.away(member.seat, member.user)
        except Refusal as refusal:
            _log.warning("seat.drop_failed", code=refusal.code)  # the lease runs out instead

    async def _check_media(self) -> None:
        """Put out of the media rooms whoever has no seat any more, though nobody told us."""
        now = time.monotonic()
        if now - self._media_checked_at < _SECONDS_BETWEEN_MEDIA_CHECKS:
            return
        self._media_checked_at = now
        for name, worker in self._rooms.workers.ours.items():
            # First who is there, then who may be: who enters in between is in neither or in both.
            try:
                occupants = await asked(worker.occupants())
            except MediaUnavailable:
                continue
            for room, people in occupants.items():
                if room.startswith(TEST_ROOM):
                    continue
                if await self._rooms.is_elsewhere(room, name):
                    await asked(worker.close_room(room))
                    continue
                holders = await self._services.seats.holders(LiveSessionId(UUID(room)))
                for person, fence in people.items():
                    if holders is not None and UserId(UUID(person)) not in holders:
                        _log.warning("media.without_seat", room=room, participant=person)
                        await asked(worker.detach(room, person, fence=fence))
            seen = await asked(worker.viewing())
            seen = {room: sums for room, sums in seen.items() if not room.startswith(TEST_ROOM)}
            if seen:
                await self._services.statistics.note_viewing(seen)

    async def _check_logins(self) -> None:
        """A logout or a ban bites though nobody told us of it."""
        families = {FamilyId(UUID(member.family)) for member in self._members}
        families |= {FamilyId(UUID(one["login"])) for _, one in await self._encoders()}
        if families:
            for family in await self._services.accounts.ended_among(list(families)):
                await self._login_revoked({"family": str(family)})

    async def _encoders(self) -> list[tuple[WorkerClient, Happening]]:
        """Return every program that sends to a worker of this host, and the worker."""
        found = []
        for worker in self._rooms.workers.ours.values():
            with contextlib.suppress(MediaUnavailable):
                found += [(worker, one) for one in await asked(worker.encoders())]
        return found

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
            if member.device in PROGRAMS:
                encodes = member.device == ENCODER
                theirs = said["kind"] == "encoder" if encodes else said["id"] == member.playing
                if theirs and said["state"] == "closed":
                    await self.drop(member)  # nothing else of them is here
                continue
            await self.to(
                member.sid,
                "media.transport",
                {"id": said["id"], "kind": said["kind"], "state": said["state"]},
            )

    async def _quality(self, said: Happening) -> None:
        for member in self._here(said["room"], said["participant"]):
            await self.to(member.sid, "media.quality", {"slots": said["slots"]})

    async def _layers(self, said: Happening) -> None:
        for member in self._here(said["room"], said["participant"]):
            await self.to(member.sid, "media.layers", {"source": said["source"], "awake": said["awake"]})

    async def _replaced(self, said: Happening) -> None:
        for member in self._here(said["room"], said["participant"]):
            await self.to(member.sid, "media.replaced", {"source": said["source"]})

    async def _speakers(self, said: Happening) -> None:
        await self._everybody(said["room"], "media.speakers", {"speaking": said["speaking"]})

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
            await asked((await self._rooms.worker(room)).detach(room, user, fence=said["rank"]))
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
        seen = None
        try:
            seen = await asked((await self._rooms.worker(room)).close_room(room))
        finally:
            await self._everybody(room, "session.ended", {"id": room, "reason": said["reason"]})
            for member in members:
                await self._sio.disconnect(member.sid, namespace=_NAMESPACE)
        self._rooms.forget(room)
        if seen is not None:
            await self._services.statistics.note_viewing({room: seen})

    async def _login_revoked(self, said: Happening) -> None:
        for worker, one in await self._encoders():
            if one["login"] == said["family"]:
                with contextlib.suppress(Refusal):
                    await asked(worker.stop_encoding(one["room"], one["participant"], one["id"]))
        for member in self._members:
            if member.family == said["family"]:
                try:
                    await self._services.seats.leave(member.user, member.seat.session_id)
                except Refusal:
                    await self._put_out(member, "seat.lost", {"code": "left"})
        if "user" in said:
            await self._services.seats.release_lost(UserId(UUID(said["user"])))

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

    def _here(self, room: str, user: str) -> list[Member]:
        user_id = UserId(UUID(user))
        return [member for member in self._members.of_user(user_id) if member.room == room]

    async def _put_out(self, member: Member, event: str, facts: Happening, *, detach: bool = True) -> None:
        member.leaving = True
        self._members.remove(member.sid)
        await self.to(member.sid, event, facts)
        await self._sio.disconnect(member.sid, namespace=_NAMESPACE)
        if detach:
            await self.detach(member)

    async def undo(self, member: Member) -> None:
        """Take an entrance back that came to nothing."""
        self._members.remove(member.sid)
        with contextlib.suppress(Refusal):
            await self._services.seats.drop(member.seat, silent_for=0)
        if not self._members.has_newer(member):
            await self.detach(member)

    async def detach(self, member: Member) -> None:
        """End the media of one entrance."""
        worker = await self._rooms.worker(member.room)
        await asked(worker.detach(member.room, member.name, fence=member.seat.rank))
