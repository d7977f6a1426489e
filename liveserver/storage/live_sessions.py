"""Tables live_sessions and session_bans."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from liveserver.models.attendance import Thresholds
from liveserver.models.ids import CourseId, LessonId, LiveSessionId, UserId, uuid7
from liveserver.models.live_sessions import LiveSession, Plan, Provider, SessionStatus
from liveserver.models.statistics import Viewing
from liveserver.storage.courses import staff_of
from liveserver.storage.postgres import Connection

_SELECT = """
    SELECT v.id, v.course_id, c.title AS course_title, v.lesson_id, v.title, v.start_time, v.timezone,
        v.duration, v.extension, v.max_students, v.status, v.cancel_reason, v.provider,
        v.external_url, v.host_id, v.started_at, v.ended_at, v.seat_epoch, c.instructor_id,
        c.status = 'approved' AND c.deleted_at IS NULL AS course_is_public,
        c.closed AS course_is_closed,
        coalesce(v.late_after, c.late_after) AS late_after,
        coalesce(v.early_before, c.early_before) AS early_before,
        t.role = 'instructor' AS owner_teaches,
        ARRAY(SELECT o.user_id FROM co_instructors o WHERE o.course_id = c.id) AS co_instructors
    FROM live_sessions v JOIN courses c ON c.id = v.course_id JOIN users t ON t.id = c.instructor_id
"""


def _session(row: asyncpg.Record) -> LiveSession:
    return LiveSession(
        id=row["id"],
        course_id=row["course_id"],
        course_title=row["course_title"],
        lesson_id=row["lesson_id"],
        title=row["title"],
        start_time=row["start_time"],
        timezone=row["timezone"],
        duration=row["duration"],
        extension=row["extension"],
        max_students=row["max_students"],
        status=SessionStatus(row["status"]),
        cancel_reason=row["cancel_reason"],
        provider=Provider(row["provider"]),
        external_url=row["external_url"],
        host_id=row["host_id"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        seat_epoch=row["seat_epoch"],
        staff=staff_of(row),
        course_is_public=row["course_is_public"],
        course_is_closed=row["course_is_closed"],
        thresholds=Thresholds(
            late_after=timedelta(minutes=row["late_after"]),
            early_before=timedelta(minutes=row["early_before"]),
        ),
    )


async def by_id(conn: Connection, session_id: LiveSessionId, *, deleted: bool = False) -> LiveSession | None:
    """Return the class; one of a course that was deleted only to who asks for such."""
    row = await conn.fetchrow(
        _SELECT + " WHERE v.id = $1 AND ($2 OR c.deleted_at IS NULL)", session_id, deleted
    )
    return _session(row) if row else None


async def lock(conn: Connection, session_id: LiveSessionId) -> LiveSession | None:
    """Return the session, locked so that a check and the write after it are one step."""
    await conn.execute("SELECT 1 FROM live_sessions WHERE id = $1 FOR UPDATE", session_id)
    return await by_id(conn, session_id)


async def insert(
    conn: Connection,
    course_id: CourseId,
    plan: Plan,
    *,
    host: UserId,
    lesson_id: LessonId | None,
) -> LiveSessionId:
    session = LiveSessionId(uuid7())
    await conn.execute(
        "INSERT INTO live_sessions (id, course_id, lesson_id, title, start_time, timezone, duration,"
        " max_students, provider, external_url, host_id, status)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'scheduled')",
        session,
        course_id,
        lesson_id,
        plan.title,
        plan.start_time,
        plan.timezone,
        plan.duration,
        plan.max_students,
        plan.provider,
        plan.external_url,
        host,
    )
    return session


async def lock_host(conn: Connection, host: UserId) -> None:
    """Make the check for overlaps and the write after it one step for this instructor."""
    await conn.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", host)


async def overlapping(
    conn: Connection, host: UserId, start: datetime, end: datetime, *, but: LiveSessionId | None
) -> LiveSessionId | None:
    """Return a class of the host's that is planned or held between two times."""
    found: LiveSessionId | None = await conn.fetchval(
        "SELECT v.id FROM live_sessions v JOIN courses c ON c.id = v.course_id"
        " WHERE v.host_id = $1 AND v.status IN ('scheduled', 'live', 'ending') AND c.deleted_at IS NULL"
        " AND ($4::uuid IS NULL OR v.id <> $4) AND coalesce(v.started_at, v.start_time) < $3"
        " AND coalesce(v.started_at, v.start_time) + make_interval(mins => v.duration + v.extension) > $2"
        " ORDER BY v.start_time LIMIT 1",
        host,
        start,
        end,
        but,
    )
    return found


async def set_peak(conn: Connection, session_id: LiveSessionId, students: int) -> None:
    await conn.execute("UPDATE live_sessions SET peak_students = $2 WHERE id = $1", session_id, students)


async def note_visit(conn: Connection, session_id: LiveSessionId, user_id: UserId) -> None:
    """Note that somebody opened a class's address; the first time counts."""
    await conn.execute(
        "INSERT INTO link_visits (session_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        session_id,
        user_id,
    )


async def visits(conn: Connection, session_id: LiveSessionId) -> dict[UserId, datetime]:
    rows = await conn.fetch("SELECT user_id, at FROM link_visits WHERE session_id = $1", session_id)
    return {row["user_id"]: row["at"] for row in rows}


async def add_refused(conn: Connection, session_id: LiveSessionId, count: int) -> None:
    await conn.execute(
        "UPDATE live_sessions SET refused_joins = refused_joins + $2 WHERE id = $1", session_id, count
    )


async def add_viewing(conn: Connection, session_id: LiveSessionId, seen: Viewing) -> None:
    await conn.execute(
        "UPDATE live_sessions SET viewed_seconds = viewed_seconds + $2,"
        " reduced_seconds = reduced_seconds + $3, lost_seconds = lost_seconds + $4 WHERE id = $1",
        session_id,
        seen.seconds,
        seen.reduced,
        seen.lost,
    )


async def claim_reminder(conn: Connection, session_id: LiveSessionId, key: str) -> bool:
    """Return True to the one transaction that is to send a reminder."""
    row = await conn.fetchrow(
        "INSERT INTO session_reminders (key, session_id) VALUES ($1, $2)"
        " ON CONFLICT DO NOTHING RETURNING key",
        key,
        session_id,
    )
    return row is not None


async def set_lesson(conn: Connection, session_id: LiveSessionId, lesson_id: LessonId) -> None:
    await conn.execute("UPDATE live_sessions SET lesson_id = $2 WHERE id = $1", session_id, lesson_id)


async def update(conn: Connection, session_id: LiveSessionId, plan: Plan, lesson_id: LessonId | None) -> None:
    await conn.execute(
        "UPDATE live_sessions SET title = $2, start_time = $3, timezone = $4, duration = $5,"
        " max_students = $6, external_url = $7, provider = $8, lesson_id = $9, updated_at = now()"
        " WHERE id = $1",
        session_id,
        plan.title,
        plan.start_time,
        plan.timezone,
        plan.duration,
        plan.max_students,
        plan.external_url,
        plan.provider,
        lesson_id,
    )


async def mark_started(conn: Connection, session_id: LiveSessionId) -> bool:
    """Scheduled -> live, with a new seat epoch. False when another call was first."""
    row = await conn.fetchrow(
        "UPDATE live_sessions SET status = 'live', started_at = now(),"
        " seat_epoch = seat_epoch + 1, updated_at = now()"
        " WHERE id = $1 AND status = 'scheduled' RETURNING id",
        session_id,
    )
    return row is not None


async def mark_ending(conn: Connection, session_id: LiveSessionId) -> bool:
    """Live -> ending: the durable intent, after which nobody is admitted or rebuilt."""
    row = await conn.fetchrow(
        "UPDATE live_sessions SET status = 'ending', updated_at = now()"
        " WHERE id = $1 AND status IN ('live', 'ending') RETURNING id",
        session_id,
    )
    return row is not None


async def mark_ended(conn: Connection, session_id: LiveSessionId, at: datetime) -> bool:
    row = await conn.fetchrow(
        "UPDATE live_sessions v SET status = 'ended', ended_at = greatest($2, v.started_at),"
        " late_after = c.late_after, early_before = c.early_before, updated_at = now()"
        " FROM courses c WHERE c.id = v.course_id AND v.id = $1 AND v.status = 'ending' RETURNING v.id",
        session_id,
        at,
    )
    return row is not None


async def mark_cancelled(conn: Connection, session_id: LiveSessionId, reason: str) -> bool:
    row = await conn.fetchrow(
        "UPDATE live_sessions SET status = 'cancelled', cancel_reason = $2, updated_at = now()"
        " WHERE id = $1 AND status = 'scheduled' RETURNING id",
        session_id,
        reason,
    )
    return row is not None


async def raise_epoch(conn: Connection, session_id: LiveSessionId, current: int) -> int | None:
    """Begin a rebuild of the seats: the new epoch, or None when another process was first."""
    epoch: int | None = await conn.fetchval(
        "UPDATE live_sessions SET seat_epoch = seat_epoch + 1, updated_at = now()"
        " WHERE id = $1 AND status = 'live' AND seat_epoch = $2 RETURNING seat_epoch",
        session_id,
        current,
    )
    return epoch


async def open_ones(conn: Connection) -> list[LiveSession]:
    """Return every session that is scheduled in the past, live or ending: the reconciler's list."""
    rows = await conn.fetch(
        _SELECT + " WHERE v.status IN ('live', 'ending') OR (v.status = 'scheduled' AND v.start_time < now())"
    )
    return [_session(row) for row in rows]


async def lock_of_course(conn: Connection, course_id: CourseId) -> list[LiveSession]:
    """Return the classes of a course, locked: none of them begins or ends meanwhile."""
    await conn.execute("SELECT 1 FROM live_sessions WHERE course_id = $1 ORDER BY id FOR UPDATE", course_id)
    return await of_course(conn, course_id)


async def of_course(conn: Connection, course_id: CourseId) -> list[LiveSession]:
    rows = await conn.fetch(_SELECT + " WHERE v.course_id = $1 ORDER BY v.id", course_id)
    return [_session(row) for row in rows]


async def live_with(conn: Connection, user_id: UserId) -> list[LiveSession]:
    """Return the classes that run now and that somebody may be in: enrolled in or teaching."""
    rows = await conn.fetch(
        _SELECT + " WHERE v.status = 'live' AND (c.instructor_id = $1"
        " OR EXISTS (SELECT 1 FROM co_instructors o WHERE o.course_id = c.id AND o.user_id = $1)"
        " OR EXISTS (SELECT 1 FROM enrollments e WHERE e.course_id = c.id AND e.student_id = $1))",
        user_id,
    )
    return [_session(row) for row in rows]


async def starting_before(conn: Connection, at: datetime) -> list[LiveSession]:
    """Return the scheduled classes that begin before a time and not long ago."""
    rows = await conn.fetch(
        _SELECT
        + " WHERE v.status = 'scheduled' AND v.start_time < $1 AND v.start_time > now() - interval '1 hour'"
        " AND c.deleted_at IS NULL AND NOT c.closed",
        at,
    )
    return [_session(row) for row in rows]


async def of_lesson(conn: Connection, lesson_id: LessonId) -> list[LiveSession]:
    rows = await conn.fetch(_SELECT + " WHERE v.lesson_id = $1 ORDER BY v.id DESC", lesson_id)
    return [_session(row) for row in rows]


async def calendar(
    conn: Connection,
    user_id: UserId,
    *,
    all_courses: bool,
    course_id: CourseId | None,
    status: SessionStatus | None,
    after: datetime | None,
    before: datetime | None,
    cursor: UUID | None,
    limit: int,
) -> list[LiveSession]:
    """Return the sessions `user_id` may see, newest id first: enrolled, taught, or all for an admin."""
    rows = await conn.fetch(
        _SELECT + " WHERE c.deleted_at IS NULL AND ($2 OR c.instructor_id = $1"
        " OR EXISTS (SELECT 1 FROM co_instructors o WHERE o.course_id = c.id AND o.user_id = $1)"
        " OR EXISTS (SELECT 1 FROM enrollments e"
        " WHERE e.course_id = c.id AND e.student_id = $1 AND e.removed_at IS NULL))"
        " AND ($3::uuid IS NULL OR v.course_id = $3)"
        " AND ($4::text IS NULL OR v.status = $4 OR ($4 = 'live' AND v.status = 'ending'))"
        " AND ($5::timestamptz IS NULL OR v.start_time >= $5)"
        " AND ($6::timestamptz IS NULL OR v.start_time < $6)"
        " AND ($7::uuid IS NULL OR v.id < $7) ORDER BY v.id DESC LIMIT $8",
        user_id,
        all_courses,
        course_id,
        status,
        after,
        before,
        cursor,
        limit,
    )
    return [_session(row) for row in rows]


async def ban(conn: Connection, session_id: LiveSessionId, user_id: UserId, by: UserId) -> None:
    await conn.execute(
        "INSERT INTO session_bans (session_id, user_id, banned_by) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        session_id,
        user_id,
        by,
    )


async def banned(conn: Connection, session_id: LiveSessionId) -> list[UserId]:
    rows = await conn.fetch("SELECT user_id FROM session_bans WHERE session_id = $1", session_id)
    return [row["user_id"] for row in rows]


async def is_banned(conn: Connection, session_id: LiveSessionId, user_id: UserId) -> bool:
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM session_bans WHERE session_id = $1 AND user_id = $2",
            session_id,
            user_id,
        )
    )
