"""Scheduling, starting and ending a live class, and keeping every host's view of it true."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID
from zoneinfo import available_timezones

import structlog

from liveserver.errors import (
    Invalid,
    NotFound,
    SeatsUnavailable,
    SessionCancelled,
    SessionEnded,
    TooEarly,
    Unavailable,
    WrongState,
)
from liveserver.models.accounts import Role, User
from liveserver.models.courses import LessonType
from liveserver.models.ids import CourseId, LessonId, LiveSessionId
from liveserver.models.live_sessions import LiveSession, SessionStatus
from liveserver.services.attendance import Attendance
from liveserver.services.seats import readable
from liveserver.storage import attendance as attendance_rows
from liveserver.storage import courses, lessons, live_sessions
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.presence import Presence
from liveserver.storage.seats import SeatLedger, SeatsLost, StaleEpoch

_SECONDS_TO_REASSERT = 3.0
_SECONDS_TO_INIT = timedelta(seconds=3)  # between a start in PostgreSQL and its ledger
_LATEST = timedelta(days=5 * 365)
_log = structlog.get_logger()


class LiveSessions:
    def __init__(
        self,
        database: Database,
        ledger: SeatLedger,
        presence: Presence,
        attendance: Attendance,
        bus: Bus,
        *,
        start_window: timedelta,
        max_duration: int,
        max_students: int,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._presence = presence
        self._attendance = attendance
        self._bus = bus
        self._start_window = start_window
        self._max_duration = max_duration
        self._max_students = max_students
        self._rebuilding: dict[LiveSessionId, asyncio.Task[None]] = {}
        self._seen_rebuilding: dict[LiveSessionId, float] = {}

    async def schedule(
        self,
        instructor: User,
        course_id: CourseId,
        *,
        lesson_id: LessonId | None,
        title: str,
        start_time: datetime,
        timezone: str,
        duration: int,
        max_students: int,
    ) -> LiveSession:
        """Plan a class of a course the caller teaches. `duration` is in minutes."""
        async with self._database.transaction() as conn:
            course = await courses.by_id(conn, course_id)
            if course is None or instructor.id not in course.staff:
                raise NotFound
            self._check(
                start_time=start_time, timezone=timezone, duration=duration, max_students=max_students
            )
            if lesson_id is not None:
                lesson = await lessons.by_id(conn, lesson_id)
                if lesson is None or lesson.course_id != course_id:
                    raise Invalid(("lessonId", "unknown"))
                if lesson.type is not LessonType.LIVE:
                    raise Invalid(("lessonId", "wrong_type"))
            session_id = await live_sessions.insert(
                conn,
                course_id,
                lesson_id=lesson_id,
                title=title,
                start_time=start_time,
                timezone=timezone,
                duration=duration,
                max_students=max_students,
            )
            return await _known(conn, session_id)

    async def change(
        self,
        instructor: User,
        session_id: LiveSessionId,
        *,
        title: str | None,
        start_time: datetime | None,
        timezone: str | None,
        duration: int | None,
        max_students: int | None,
    ) -> LiveSession:
        """Change a class: all of it while scheduled; title, seats and a longer duration while live."""
        async with self._database.transaction() as conn:
            session = await self._lock_own(conn, instructor, session_id)
            self._check(
                start_time=start_time, timezone=timezone, duration=duration, max_students=max_students
            )
            if session.status in {SessionStatus.ENDED, SessionStatus.ENDING}:
                raise SessionEnded
            if session.status is SessionStatus.CANCELLED:
                raise SessionCancelled(reason=session.cancel_reason)
            if session.status is SessionStatus.LIVE:
                if start_time is not None or timezone is not None:
                    raise WrongState(state="live")
                if duration is not None and duration < session.duration:
                    raise Invalid(("duration", "only_longer_while_live"))
            await live_sessions.update(
                conn,
                session_id,
                title=title,
                start_time=start_time,
                timezone=timezone,
                duration=duration,
                max_students=max_students,
            )
            session = await _known(conn, session_id)
        if session.status is SessionStatus.LIVE:
            if max_students is not None:
                await self._match_maximum(session)
            await self._bus.publish("session.changed", session=str(session_id))
        return session

    async def start(self, instructor: User, session_id: LiveSessionId) -> LiveSession:
        """Open the class, once: a second click or host gets the same answer. Raises TooEarly."""
        async with self._database.transaction() as conn:
            session = await self._lock_own(conn, instructor, session_id)
            now = datetime.now(UTC)
            if session.status in {SessionStatus.ENDED, SessionStatus.ENDING}:
                raise SessionEnded
            if session.status is SessionStatus.CANCELLED or session.is_missed(now):
                raise SessionCancelled(reason=session.cancel_reason or "missed")
            opens = session.may_start_from(self._start_window)
            if session.status is SessionStatus.SCHEDULED and now < opens:
                raise TooEarly(**{"from": opens})
            started = await live_sessions.mark_started(conn, session_id)
            session = await _known(conn, session_id)
            banned = await live_sessions.banned(conn, session_id)
        if not started:
            return session  # whoever started it opens the ledger, or the reconciler does
        try:
            await self._ledger.init(
                session_id, session.seat_epoch, maximum=session.max_students, banned=banned
            )
        except (SeatsUnavailable, SeatsLost):
            _log.warning("seats.init_failed", session=str(session_id))
        await self._bus.publish("session.started", session=str(session_id))
        return session

    async def end(self, instructor: User, session_id: LiveSessionId) -> LiveSession:
        """Close the class for everybody, once; one that never started becomes cancelled."""
        async with self._database.transaction() as conn:
            session = await self._lock_own(conn, instructor, session_id)
            if session.status is SessionStatus.SCHEDULED:
                await live_sessions.mark_cancelled(conn, session_id, "by_instructor")
                return await _known(conn, session_id)
            if session.status in {SessionStatus.ENDED, SessionStatus.CANCELLED}:
                return session
        return await self._end(session, "by_instructor")

    async def cancel(self, instructor: User, session_id: LiveSessionId) -> LiveSession:
        """Call a scheduled class off. Again: the same. Raises WrongState once it has begun."""
        async with self._database.transaction() as conn:
            session = await self._lock_own(conn, instructor, session_id)
            if session.status is SessionStatus.CANCELLED:
                return session
            if session.status is not SessionStatus.SCHEDULED:
                raise WrongState(state=session.shown_status)
            await live_sessions.mark_cancelled(conn, session_id, "by_instructor")
            return await _known(conn, session_id)

    async def view(self, user: User, session_id: LiveSessionId) -> LiveSession:
        async with self._database.connection() as conn:
            return await readable(conn, user, session_id, also=Role.ADMIN)

    async def calendar(
        self,
        user: User,
        *,
        course_id: CourseId | None,
        status: SessionStatus | None,
        after: datetime | None,
        before: datetime | None,
        cursor: UUID | None,
        limit: int,
    ) -> list[LiveSession]:
        async with self._database.connection() as conn:
            return await live_sessions.calendar(
                conn,
                user.id,
                all_courses=user.role is Role.ADMIN,
                course_id=course_id,
                status=status,
                after=after,
                before=before,
                cursor=cursor,
                limit=limit,
            )

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
            async with self._database.transaction() as conn:
                await live_sessions.mark_cancelled(conn, session.id, "missed")
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
            await self._match_maximum(session)
        await self._attendance.drain(session.id)

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

    async def _match_maximum(self, session: LiveSession) -> None:
        try:
            await self._ledger.set_maximum(session.id, session.seat_epoch, session.max_students)
        except (SeatsLost, StaleEpoch, SeatsUnavailable):
            _log.warning("seats.max_failed", session=str(session.id))  # the reconciler compares

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
                return await _known(conn, session.id)  # the reconciler goes on
        except (SeatsLost, StaleEpoch):
            await self._attendance.drain(session.id)  # what the stream still holds did happen
            ended_at = datetime.now(UTC)
        async with self._database.transaction() as conn:
            if await live_sessions.mark_ended(conn, session.id, ended_at):
                await attendance_rows.finalise(conn, session.id, ended_at)
            session = await _known(conn, session.id)
        await self._ledger.forget(session.id)
        await self._presence.clear(session.id)
        self._attendance.forget(session.id)
        return session

    async def _lock_own(self, conn: Connection, instructor: User, session_id: LiveSessionId) -> LiveSession:
        session = await live_sessions.lock(conn, session_id)
        if session is None or instructor.id not in session.staff:
            raise NotFound
        return session

    def _check(
        self,
        *,
        start_time: datetime | None,
        timezone: str | None,
        duration: int | None,
        max_students: int | None,
    ) -> None:
        wrong = []
        if start_time is not None and start_time < datetime.now(UTC) - timedelta(seconds=30):
            wrong.append(("startTime", "in_the_past"))
        if start_time is not None and start_time > datetime.now(UTC) + _LATEST:
            wrong.append(("startTime", "too_far"))
        if timezone is not None and not _is_zone(timezone):
            wrong.append(("timezone", "unknown_timezone"))
        if duration is not None and duration > self._max_duration:
            wrong.append(("duration", "too_long"))
        if max_students is not None and max_students > self._max_students:
            wrong.append(("maxStudents", "too_many"))
        if wrong:
            raise Invalid(*wrong)


def _is_zone(name: str) -> bool:
    return name in _zones()


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "Factory"})


async def _known(conn: Connection, session_id: LiveSessionId) -> LiveSession:
    session = await live_sessions.by_id(conn, session_id)
    if session is None:
        raise NotFound
    return session
