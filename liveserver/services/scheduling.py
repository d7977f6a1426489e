"""Planning live classes: when, how long, for how many; changing a plan and calling it off."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from uuid import UUID
from zoneinfo import available_timezones

from liveserver.errors import CourseClosed, Invalid, Overlap, SessionCancelled, SessionEnded, WrongState
from liveserver.models.accounts import Role, User
from liveserver.models.courses import LessonType
from liveserver.models.ids import CourseId, LessonId, LiveSessionId, UserId
from liveserver.models.live_sessions import LiveSession, Plan, Provider, SessionStatus
from liveserver.models.notifications import NotificationKind
from liveserver.services.class_access import readable
from liveserver.services.courses import taught
from liveserver.services.live_sessions import LiveSessions, cancelled_key, facts_of, known, lock_own
from liveserver.services.notifications import Notifications
from liveserver.services.platform import Platform
from liveserver.storage import lessons, live_sessions
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database

_LATEST = timedelta(days=5 * 365)
_SLACK = timedelta(seconds=30)  # a form filled in and sent a moment after the time it names
_TOLD = {  # what students are told has changed, in JSON names
    "title": "title",
    "startTime": "start_time",
    "timezone": "timezone",
    "duration": "duration",
    "maxStudents": "max_students",
    "provider": "provider",
    "externalUrl": "external_url",
}
_REMINDERS = (
    (timedelta(hours=24), NotificationKind.SESSION_IN_A_DAY),
    (timedelta(hours=1), NotificationKind.SESSION_IN_AN_HOUR),
    (timedelta(), NotificationKind.SESSION_NOW),
)


class CalendarWriter(Protocol):
    def calendar(self, session: LiveSession) -> bytes: ...


class Scheduling:
    def __init__(
        self,
        database: Database,
        classes: LiveSessions,
        notifications: Notifications,
        platform: Platform,
        bus: Bus,
        documents: CalendarWriter,
        *,
        max_duration: int,
        max_students: int,
    ) -> None:
        self._database = database
        self._classes = classes
        self._notifications = notifications
        self._platform = platform
        self._bus = bus
        self._documents = documents
        self._max_duration = max_duration
        self._max_students = max_students

    async def schedule(
        self, instructor: User, course_id: CourseId, *, lesson_id: LessonId | None, plan: Plan
    ) -> LiveSession:
        """Plan a class of a course the caller teaches. Raises Invalid, Overlap, CourseClosed."""
        async with self._database.transaction() as conn:
            course = await taught(conn, instructor, course_id)
            if course.closed:
                raise CourseClosed
            if lesson_id is not None:
                await _require_live_lesson(conn, lesson_id, course_id)
            session = await self.plan(conn, instructor, course_id, lesson_id=lesson_id, plan=plan)
        await self.tell_planned(session)
        return session

    async def plan(
        self,
        conn: Connection,
        instructor: User,
        course_id: CourseId,
        *,
        lesson_id: LessonId | None,
        plan: Plan,
    ) -> LiveSession:
        """Plan a class in the caller's transaction; `tell_planned` when that is done."""
        self._check(plan)
        await self._no_overlap(conn, instructor.id, plan, but=None)
        session_id = await live_sessions.insert(
            conn, course_id, plan, host=instructor.id, lesson_id=lesson_id
        )
        session = await known(conn, session_id)
        await self._notifications.tell_students(
            conn,
            course_id,
            NotificationKind.SESSION_SCHEDULED,
            f"session_scheduled:{session_id}",
            **facts_of(session),
        )
        return session

    async def tell_planned(self, session: LiveSession) -> None:
        await self._notifications.push(f"session_scheduled:{session.id}")

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
        provider: str | None,
        external_url: str | None,
        lesson_id: LessonId | None,
    ) -> LiveSession:
        """Change a class: all of it while scheduled; title, seats and a longer duration while live."""
        key = None
        async with self._database.transaction() as conn:
            session = await lock_own(conn, instructor, session_id)
            before = plan_of(session)
            after = replace(
                before,
                title=title or before.title,
                start_time=start_time or before.start_time,
                timezone=timezone or before.timezone,
                duration=duration or before.duration,
                max_students=max_students or before.max_students,
                provider=Provider(provider) if provider else before.provider,
                # Held here again, it is held nowhere else.
                external_url=external_url or (None if provider == Provider.BUILTIN else before.external_url),
            )
            self._check(after, before)
            _require_changeable(session, before, after)
            if lesson_id is not None and lesson_id != session.lesson_id:
                if session.status is not SessionStatus.SCHEDULED:
                    raise WrongState(state=session.shown_status)
                await _require_live_lesson(conn, lesson_id, session.course_id)
            when = before.start_time, before.duration
            if session.status is SessionStatus.SCHEDULED and (after.start_time, after.duration) != when:
                await self._no_overlap(conn, session.host_id or instructor.id, after, but=session_id)
            await live_sessions.update(conn, session_id, after, lesson_id or session.lesson_id)
            changed = [key for key, name in _TOLD.items() if getattr(before, name) != getattr(after, name)]
            session = await known(conn, session_id)
            if changed and session.status is SessionStatus.SCHEDULED:
                key = await self._notifications.tell_students(
                    conn,
                    session.course_id,
                    NotificationKind.SESSION_CHANGED,
                    f"session_changed:{session_id}:{datetime.now(UTC).timestamp():.6f}",
                    changed=changed,
                    **facts_of(session),
                )
        if session.status is SessionStatus.LIVE:
            if max_students is not None:
                await self._classes.match_maximum(session_id)
            await self._bus.publish("session.changed", session=str(session_id))
        if key is not None:
            await self._notifications.push(key)
        return session

    async def cancel(self, instructor: User, session_id: LiveSessionId) -> LiveSession:
        """Call a scheduled class off. Again: the same. Raises WrongState once it has begun."""
        async with self._database.transaction() as conn:
            session = await lock_own(conn, instructor, session_id)
            if session.status is SessionStatus.CANCELLED:
                return session
            if session.status is not SessionStatus.SCHEDULED:
                raise WrongState(state=session.shown_status)
            session = await self._classes.call_off(conn, session, "by_instructor")
        await self._notifications.push(cancelled_key(session_id))
        return session

    async def remind(self) -> None:
        """Tell of classes to come, a day, an hour and no time before; each once, whoever asks how often."""
        now = datetime.now(UTC)
        keys = []
        async with self._database.transaction() as conn:
            for session in await live_sessions.starting_before(conn, now + _REMINDERS[0][0]):
                due = [kind for ahead, kind in _REMINDERS if session.start_time - ahead <= now]
                # A class planned for in ten minutes is told of once, by the nearest reminder.
                key = f"{due[-1]}:{session.id}:{session.start_time.timestamp():.0f}"
                if await live_sessions.claim_reminder(conn, session.id, key):
                    await self._notifications.tell_students(
                        conn, session.course_id, due[-1], key, **facts_of(session)
                    )
                    keys.append(key)
        for key in keys:
            await self._notifications.push(key)

    async def view(self, user: User, session_id: LiveSessionId) -> LiveSession:
        async with self._database.connection() as conn:
            return await readable(conn, user, session_id, also=Role.ADMIN)

    async def event(self, user: User, session_id: LiveSessionId) -> bytes:
        """Return a class as an iCalendar file."""
        return self._documents.calendar(await self.view(user, session_id))

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

    async def overlap_of(self, session: LiveSession) -> LiveSessionId | None:
        """Return another class of its host's at its time; there is none unless the setting allows it."""
        if session.host_id is None or not self._platform.current.allow_overlap:
            return None
        ends = session.start_time + timedelta(minutes=session.duration)
        async with self._database.connection() as conn:
            return await live_sessions.overlapping(
                conn, session.host_id, session.start_time, ends, but=session.id
            )

    async def _no_overlap(
        self, conn: Connection, host: UserId, plan: Plan, *, but: LiveSessionId | None
    ) -> None:
        if self._platform.current.allow_overlap:
            return
        await live_sessions.lock_host(conn, host)
        ends = plan.start_time + timedelta(minutes=plan.duration)
        other = await live_sessions.overlapping(conn, host, plan.start_time, ends, but=but)
        if other is not None:
            raise Overlap(sessionId=str(other))

    def _check(self, plan: Plan, before: Plan | None = None) -> None:
        """Raise Invalid with every wrong field; what did not change is not judged again."""
        now = datetime.now(UTC)
        wrong = []
        if before is None or plan.start_time != before.start_time:
            if plan.start_time < now - _SLACK:
                wrong.append(("startTime", "in_the_past"))
            if plan.start_time > now + _LATEST:
                wrong.append(("startTime", "too_far"))
        if not _is_zone(plan.timezone):
            wrong.append(("timezone", "unknown_timezone"))
        if plan.duration > self._max_duration:
            wrong.append(("duration", "too_long"))
        if plan.max_students > self._max_students:
            wrong.append(("maxStudents", "too_many"))
        if (plan.provider is Provider.LINK) != (plan.external_url is not None):
            wrong.append(("externalUrl", "required" if plan.external_url is None else "wrong_provider"))
        if wrong:
            raise Invalid(*wrong)


def _require_changeable(session: LiveSession, before: Plan, after: Plan) -> None:
    if session.status in {SessionStatus.ENDED, SessionStatus.ENDING}:
        raise SessionEnded
    if session.status is SessionStatus.CANCELLED:
        raise SessionCancelled(reason=session.cancel_reason)
    if session.status is SessionStatus.LIVE:
        fixed = (before.start_time, before.timezone, before.provider, before.external_url)
        if (after.start_time, after.timezone, after.provider, after.external_url) != fixed:
            raise WrongState(state="live")
        if after.duration < before.duration:
            raise Invalid(("duration", "only_longer_while_live"))


async def _require_live_lesson(conn: Connection, lesson_id: LessonId, course_id: CourseId) -> None:
    lesson = await lessons.by_id(conn, lesson_id)
    if lesson is None or lesson.course_id != course_id:
        raise Invalid(("lessonId", "unknown"))
    if lesson.type is not LessonType.LIVE:
        raise Invalid(("lessonId", "wrong_type"))


def plan_of(session: LiveSession) -> Plan:
    return Plan(
        title=session.title,
        start_time=session.start_time,
        timezone=session.timezone,
        duration=session.duration,
        max_students=session.max_students,
        provider=session.provider,
        external_url=session.external_url,
    )


def _is_zone(name: str) -> bool:
    return name in _zones()


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "Factory"})
