"""Starting and ending a live class, and keeping every host's view of it true."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta

import structlog

from liveserver.errors import (
    CourseClosed,
    NotFound,
    SeatsUnavailable,
    SessionCancelled,
    SessionEnded,
    TooEarly,
    Unavailable,
)
from liveserver.models.accounts import User
from liveserver.models.ids import LiveSessionId
from liveserver.models.live_sessions import LiveSession, SessionStatus
from liveserver.models.notifications import NotificationKind
from liveserver.models.webhooks import WebhookEvent
from liveserver.services.attendance import Attendance
from liveserver.services.notifications import Notifications
from liveserver.services.webhooks import Webhooks
from liveserver.storage import attendance as attendance_rows
from liveserver.storage import audit, live_sessions, statistics
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.presence import Presence
from liveserver.storage.seats import SeatLedger, SeatsLost, StaleEpoch

_SECONDS_TO_REASSERT = 3.0
_SECONDS_TO_INIT = timedelta(seconds=3)  # between a start in PostgreSQL and its ledger
_log = structlog.get_logger()


class LiveSessions:
    def __init__(
        self,
        database: Database,
        ledger: SeatLedger,
        presence: Presence,
        attendance: Attendance,
        notifications: Notifications,
        webhooks: Webhooks,
        bus: Bus,
        *,
        start_window: timedelta,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._presence = presence
        self._attendance = attendance
        self._notifications = notifications
        self._webhooks = webhooks
        self._bus = bus
        self._start_window = start_window
        self._rebuilding: dict[LiveSessionId, asyncio.Task[None]] = {}
        self._seen_rebuilding: dict[LiveSessionId, float] = {}

    async def start(self, instructor: User, session_id: LiveSessionId) -> LiveSession:
        """Open the class, once: a second click or host gets the same answer.

        Raises TooEarly, CourseClosed, SessionEnded, SessionCancelled.
        """
        async with self._database.transaction() as conn:
            session = await lock_own(conn, instructor, session_id)
            if session.course_is_closed:
                raise CourseClosed
            now = datetime.now(UTC)
            if session.status in {SessionStatus.ENDED, SessionStatus.ENDING}:
                raise SessionEnded
            if session.status is SessionStatus.CANCELLED or session.is_missed(now):
                raise SessionCancelled(reason=session.cancel_reason or "missed")
            opens = session.may_start_from(self._start_window)
            if session.status is SessionStatus.SCHEDULED and now < opens:
                raise TooEarly(**{"from": opens})
            started = await live_sessions.mark_started(conn, session_id)
            session = await known(conn, session_id)
            banned = await live_sessions.banned(conn, session_id)
            key = f"session_started:{session_id}"
            if started:
                await self._webhooks.emit(conn, WebhookEvent.SESSION_STARTED, **facts_of(session))
                await self._notifications.tell_students(
                    conn,
                    session.course_id,
                    NotificationKind.SESSION_STARTED,
                    key,
                    **facts_of(session),
                )
        if not started:
            return session  # whoever started it opens the ledger, or the reconciler does
        try:
            await self._ledger.init(
                session_id, session.seat_epoch, maximum=session.max_students, banned=banned
            )
        except (SeatsUnavailable, SeatsLost):
            _log.warning("seats.init_failed", session=str(session_id))
        await self._bus.publish("session.started", session=str(session_id))
        await self._notifications.push(key)
        return session

    async def end(self, instructor: User, session_id: LiveSessionId) -> LiveSession:
        """Close the class for everybody, once; one that never started becomes cancelled."""
        async with self._database.transaction() as conn:
            session = await lock_own(conn, instructor, session_id)
            called_off = session.status is SessionStatus.SCHEDULED
            if called_off:
                session = await self.call_off(conn, session, "by_instructor")
        return await self._closed(session, "by_instructor", called_off=called_off)

    async def end_as_moderation(self, admin: User, session_id: LiveSessionId) -> LiveSession:
        """Close somebody's class for an admin, audited once; one that has not begun is called off."""
        async with self._database.transaction() as conn:
            session = await live_sessions.lock(conn, session_id)
            if session is None:
                raise NotFound
            called_off = session.status is SessionStatus.SCHEDULED
            if called_off:
                session = await self.call_off(conn, session, "by_admin")
            if called_off or session.status is SessionStatus.LIVE:
                await audit.write(conn, admin.id, "session.ended", session_id, courseId=session.course_id)
        return await self._closed(session, "by_admin", called_off=called_off)

    async def _closed(self, session: LiveSession, reason: str, *, called_off: bool) -> LiveSession:
        """End a class that runs; one that is over already, or was just called off, stays as it is."""
        if called_off:
            await self._notifications.push(cancelled_key(session.id))
        if session.status in {SessionStatus.ENDED, SessionStatus.CANCELLED}:
            return session
        return await self._end(session, reason)

    async def call_off(self, conn: Connection, session: LiveSession, reason: str) -> LiveSession:
        """Cancel a class that has not begun, in the caller's transaction, and tell its students; push
        `cancelled_key` when that is done.
        """
        await live_sessions.mark_cancelled(conn, session.id, reason)
        await self._notifications.tell_students(
            conn,
            session.course_id,
            NotificationKind.SESSION_CANCELLED,
            cancelled_key(session.id),
            **facts_of(session),
        )
        return await known(conn, session.id)

    async def ended_among(self, session_ids: set[LiveSessionId]) -> set[LiveSessionId]:
        """Say which classes are over: a process asks for those it has people in."""
        async with self._database.connection() as conn:
            live = {
                session.id
                for session in await live_sessions.open_ones(conn)
                if session.status is SessionStatus.LIVE
            }
        return session_ids - live

    async def reconcile(self) -> None:
        """Bring every open class to where it should be; each process, each second.

        The sweep is part of the seat protocol: a class nobody sweeps never frees a dead seat.
        """
        async with self._database.connection() as conn:
            sessions = await live_sessions.open_ones(conn)
        now = datetime.now(UTC)
        for session in sessions:
            try:
                await self._reconcile(session, now)
            except Unavailable as error:
                _log.warning("reconcile.unavailable", session=str(session.id), code=error.code)
            except Exception:  # one class's trouble must not keep the others from being swept
                _log.exception("reconcile.internal", session=str(session.id))
            await asyncio.sleep(random.uniform(0, 0.005))

    async def _reconcile(self, session: LiveSession, now: datetime) -> None:
        if session.is_missed(now):
            await self._call_off_missed(session.id)
            return
        if session.status is SessionStatus.ENDING or session.is_over_time(now):
            await self._end(session, "time_is_up")
            return
        if session.status is not SessionStatus.LIVE:
            return
        try:
            totals = await self._ledger.sweep(session.id, session.seat_epoch)
        except SeatsLost:
            if now - (session.started_at or now) > _SECONDS_TO_INIT:
                self._begin_rebuild(session)
            return
        except StaleEpoch:
            return  # our reading of PostgreSQL is a moment old
        if totals.status == "rebuild":
            await self._finish_orphaned_rebuild(session)
            return
        self._seen_rebuilding.pop(session.id, None)
        if totals.maximum != session.max_students:
            await self.match_maximum(session.id)
        await self._attendance.drain(session.id)

    async def _call_off_missed(self, session_id: LiveSessionId) -> None:
        async with self._database.transaction() as conn:
            session = await live_sessions.lock(conn, session_id)
            if session is None or not session.is_missed(datetime.now(UTC)):
                return
            await self.call_off(conn, session, "missed")
        await self._notifications.push(cancelled_key(session_id))

    def _begin_rebuild(self, session: LiveSession) -> None:
        if session.id not in self._rebuilding:
            task = asyncio.create_task(self._rebuild(session), name=f"rebuild-{session.id}")
            self._rebuilding[session.id] = task
            task.add_done_callback(lambda _task: self._rebuilding.pop(session.id, None))

    async def _finish_orphaned_rebuild(self, session: LiveSession) -> None:
        """A rebuild whose leader died is finished by whoever has seen it stand still."""
        since = self._seen_rebuilding.setdefault(session.id, time.monotonic())
        if session.id not in self._rebuilding and time.monotonic() - since > 3 * _SECONDS_TO_REASSERT:
            await self._open_rebuilt(session.id, session.seat_epoch)

    async def _rebuild(self, session: LiveSession) -> None:
        """Make the ledger anew from who really is connected: the store lost it or restarted."""
        async with self._database.transaction() as conn:
            epoch = await live_sessions.raise_epoch(conn, session.id, session.seat_epoch)
            banned = await live_sessions.banned(conn, session.id)
        if epoch is None:
            return  # another process leads this rebuild
        try:
            await self._ledger.load()
            await self._ledger.init(
                session.id, epoch, maximum=session.max_students, banned=banned, rebuild=True
            )
            # Said again and again: every process has just lost its subscription to the same store.
            for _ in range(6):
                await self._bus.publish("seats.rebuild", session=str(session.id), epoch=epoch)
                await asyncio.sleep(_SECONDS_TO_REASSERT / 6)
            await self._open_rebuilt(session.id, epoch)
        except (SeatsLost, StaleEpoch, Unavailable) as error:
            _log.warning("seats.rebuild_again", session=str(session.id), why=type(error).__name__)

    async def _open_rebuilt(self, session_id: LiveSessionId, epoch: int) -> None:
        """End the stays of everybody no process has, then admit again: in this order, or a newcomer
        would find their slot still taken in PostgreSQL.
        """
        await self._attendance.drain(session_id)
        members = await self._ledger.members(session_id, epoch)
        present = [user for user, (state, _) in members.items() if state == "S"]
        async with self._database.transaction() as conn:
            await attendance_rows.close_lost(conn, session_id, present)
        await self._ledger.open(session_id, epoch)
        _log.info("seats.rebuilt", session=str(session_id), epoch=epoch, kept=len(present))

    async def match_maximum(self, session_id: LiveSessionId) -> None:
        """Give the ledger the seat limit as it stands in PostgreSQL, under the lock of its row: an older
        reading of it must not undo a newer one.
        """
        try:
            async with self._database.transaction() as conn:
                session = await live_sessions.lock(conn, session_id)
                if session is not None and session.status is SessionStatus.LIVE:
                    await self._ledger.set_maximum(session.id, session.seat_epoch, session.max_students)
        except (SeatsLost, StaleEpoch, SeatsUnavailable):
            _log.warning("seats.max_failed", session=str(session_id))  # the reconciler compares

    async def _end(self, session: LiveSession, reason: str) -> LiveSession:
        """Ending -> nobody inside -> attendance final -> ended. Every step may be done again."""
        async with self._database.transaction() as conn:
            await live_sessions.mark_ending(conn, session.id)
        # Told at once: media stops though the ledger may be away.
        await self._bus.publish("session.ended", session=str(session.id), reason=reason)
        try:
            ended_at = await self._ledger.end(session.id, session.seat_epoch)
            await self._attendance.drain(session.id)
        except SeatsUnavailable:
            async with self._database.connection() as conn:
                return await known(conn, session.id)  # the reconciler goes on
        except (SeatsLost, StaleEpoch):
            await self._attendance.drain(session.id)  # what the stream still holds did happen
            ended_at = datetime.now(UTC)
        async with self._database.transaction() as conn:
            if await live_sessions.mark_ended(conn, session.id, ended_at):
                await attendance_rows.finalise(conn, session.id, ended_at)
                figures = await statistics.session(conn, session.id)
                await live_sessions.set_peak(conn, session.id, figures.peak)
                facts = {**facts_of(session), "endedAt": ended_at, "reason": reason}
                await self._webhooks.emit(conn, WebhookEvent.SESSION_ENDED, **facts)
                await self._webhooks.emit(conn, WebhookEvent.ATTENDANCE_FINAL, **facts)
            session = await known(conn, session.id)
        await self._ledger.forget(session.id)
        await self._presence.clear(session.id)
        self._attendance.forget(session.id)
        return session


async def lock_own(conn: Connection, instructor: User, session_id: LiveSessionId) -> LiveSession:
    """Return a class the caller teaches, locked; a foreign one is not there."""
    session = await live_sessions.lock(conn, session_id)
    if session is None or instructor.id not in session.staff:
        raise NotFound
    return session


def facts_of(session: LiveSession) -> dict[str, object]:
    """Return what a notification says of a class."""
    return {
        "sessionId": session.id,
        "courseId": session.course_id,
        "title": session.title,
        "startTime": session.start_time,
        "timezone": session.timezone,
    }


async def known(conn: Connection, session_id: LiveSessionId) -> LiveSession:
    session = await live_sessions.by_id(conn, session_id)
    if session is None:
        raise NotFound
    return session


def cancelled_key(session_id: LiveSessionId) -> str:
    """Return under which key students are told that a class will not be."""
    return f"session_cancelled:{session_id}"
