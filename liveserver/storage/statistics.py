"""Reading figures off the tables; nothing here is stored."""

from datetime import UTC, datetime

import asyncpg

from liveserver.models.ids import CourseId, LiveSessionId
from liveserver.models.statistics import CourseFigures, LessonFigures, Quality, SchoolFigures, SessionFigures
from liveserver.storage.postgres import Connection


async def school(conn: Connection) -> SchoolFigures:
    users = await conn.fetch("SELECT role, count(*) AS n FROM users GROUP BY role")
    courses = await conn.fetch(
        "SELECT status, count(*) AS n FROM courses WHERE deleted_at IS NULL GROUP BY 1"
    )
    active = await conn.fetchrow(
        "SELECT count(*) FILTER (WHERE seen > now() - interval '7 days') AS week, count(*) AS month FROM ("
        " SELECT user_id, max(used_at) AS seen FROM refresh_families"
        " WHERE used_at > now() - interval '30 days' GROUP BY user_id) AS people"
    )
    rest = await conn.fetchrow(
        "SELECT (SELECT count(*) FROM courses WHERE deleted_at IS NOT NULL) AS deleted,"
        " (SELECT coalesce(sum(student_count), 0)::bigint FROM courses) AS enrollments,"
        " (SELECT count(*) FROM live_sessions WHERE status = 'live') AS live_now,"
        " (SELECT count(*) FROM live_sessions WHERE status = 'ended') AS held,"
        " (SELECT coalesce(sum(extract(epoch FROM ended_at - started_at)), 0) / 3600"
        " FROM live_sessions WHERE status = 'ended') AS live_hours,"
        " (SELECT coalesce(sum(extract(epoch FROM left_at - joined_at)), 0) / 3600"
        " FROM attendance_intervals WHERE role = 'student' AND left_at IS NOT NULL) AS attended_hours,"
        " (SELECT coalesce(sum(refused_joins), 0)::bigint FROM live_sessions) AS refused,"
        " (SELECT coalesce(max(peak_students), 0) FROM live_sessions) AS peak,"
        " (SELECT count(*) FROM certificates WHERE revoked_at IS NULL) AS certificates,"
        " (SELECT coalesce(sum(size), 0)::bigint FROM uploads"
        " WHERE status IN ('processing', 'ready')) AS bytes"
    )
    assert active is not None  # noqa: S101 - an aggregate has one row
    assert rest is not None  # noqa: S101 - same
    return SchoolFigures(
        users={row["role"]: row["n"] for row in users},
        active7=active["week"],
        active30=active["month"],
        courses={row["status"]: row["n"] for row in courses},
        deleted_courses=rest["deleted"],
        enrollments=rest["enrollments"],
        live_now=rest["live_now"],
        sessions_held=rest["held"],
        live_hours=round(float(rest["live_hours"]), 3),
        attended_hours=round(float(rest["attended_hours"]), 3),
        peak_seats=rest["peak"],
        refused_joins=rest["refused"],
        certificates=rest["certificates"],
        storage_bytes=rest["bytes"],
        as_of=datetime.now(UTC),
    )


async def course(conn: Connection, course_id: CourseId) -> CourseFigures:
    row = await conn.fetchrow(
        "SELECT count(*) FILTER (WHERE removed_at IS NULL) AS students,"
        " count(*) FILTER (WHERE removed_at IS NOT NULL) AS removed,"
        " coalesce(avg(progress) FILTER (WHERE removed_at IS NULL), 0)::integer AS progress,"
        " count(*) FILTER (WHERE removed_at IS NULL AND progress = 100) AS finished,"
        " (SELECT count(*) FROM certificates WHERE course_id = $1 AND revoked_at IS NULL) AS certificates,"
        " (SELECT count(*) FROM live_sessions WHERE course_id = $1 AND status = 'ended') AS held,"
        " (SELECT coalesce(sum(p.credited), 0) / 3600 FROM playbacks p JOIN lessons l ON l.id = p.lesson_id"
        " JOIN sections s ON s.id = l.section_id WHERE s.course_id = $1) AS watched,"
        # Of the students there are now, how much of each ended class they attended, in the mean.
        " (SELECT coalesce(avg(share), 0)::integer FROM ("
        " SELECT least(100, 100 * coalesce(sum(extract(epoch FROM a.left_at - a.joined_at)), 0)"
        " / greatest(extract(epoch FROM v.ended_at - v.started_at), 1)) AS share"
        " FROM live_sessions v JOIN enrollments e ON e.course_id = v.course_id AND e.removed_at IS NULL"
        " LEFT JOIN attendance_intervals a ON a.session_id = v.id AND a.user_id = e.student_id"
        " WHERE v.course_id = $1 AND v.status = 'ended' GROUP BY v.id, e.student_id) AS each) AS attendance"
        " FROM enrollments WHERE course_id = $1",
        course_id,
    )
    assert row is not None  # noqa: S101 - an aggregate has one row
    money = await conn.fetch(
        "SELECT l.currency, sum(CASE l.kind WHEN 'charge' THEN l.amount ELSE -l.amount END)::bigint AS net"
        " FROM ledger_entries l JOIN orders o ON o.id = l.order_id WHERE o.course_id = $1 GROUP BY 1",
        course_id,
    )
    lessons = await conn.fetch(
        "SELECT l.id, l.title, l.type,"
        " (SELECT count(*) FROM lesson_progress p"
        " WHERE p.lesson_id = l.id AND p.completed_at IS NOT NULL) AS completed,"
        " (SELECT count(*) FROM playbacks p WHERE p.lesson_id = l.id) AS plays,"
        " (SELECT count(*) FROM downloads d WHERE d.lesson_id = l.id) AS downloads"
        " FROM lessons l JOIN sections s ON s.id = l.section_id"
        " WHERE s.course_id = $1 AND l.deleted_at IS NULL AND s.deleted_at IS NULL"
        " ORDER BY s.position, l.position",
        course_id,
    )
    return CourseFigures(
        students=row["students"],
        removed=row["removed"],
        progress=row["progress"],
        finished=row["finished"],
        certificates=row["certificates"],
        sessions_held=row["held"],
        attendance=row["attendance"],
        watched_hours=round(float(row["watched"]), 3),
        revenue={one["currency"]: one["net"] for one in money},
        lessons=[
            LessonFigures(
                lesson_id=one["id"],
                title=one["title"],
                type=one["type"],
                completed=one["completed"],
                plays=one["plays"],
                downloads=one["downloads"],
            )
            for one in lessons
        ],
    )


async def session(conn: Connection, session_id: LiveSessionId) -> SessionFigures:
    """Read a class's figures off its intervals; an open stay counts to now."""
    row = await conn.fetchrow(
        "WITH v AS (SELECT * FROM live_sessions WHERE id = $1),"
        " stays AS (SELECT user_id, joined_at, coalesce(left_at, now()) AS left_at, leave_reason"
        " FROM attendance_intervals WHERE session_id = $1 AND role = 'student'),"
        " steps AS (SELECT joined_at AS at, 1 AS step FROM stays"
        " UNION ALL SELECT left_at, -1 FROM stays),"
        # Who leaves at the moment somebody comes was not there with them.
        " there AS (SELECT sum(step) OVER (ORDER BY at, step) AS n FROM steps)"
        " SELECT (SELECT coalesce(max(n), 0) FROM there)::integer AS peak,"
        " count(*) AS connections, count(DISTINCT user_id) AS students,"
        " coalesce(sum(extract(epoch FROM left_at - joined_at)), 0)::double precision AS seconds,"
        " (SELECT greatest(extract(epoch FROM coalesce(v.ended_at, now()) - v.started_at), 1)"
        "::double precision FROM v) AS length,"
        " (SELECT refused_joins FROM v) AS refused, (SELECT viewed_seconds FROM v) AS viewed,"
        " (SELECT reduced_seconds FROM v) AS reduced, (SELECT lost_seconds FROM v) AS lost FROM stays",
        session_id,
    )
    assert row is not None  # noqa: S101 - an aggregate has one row
    return SessionFigures(
        peak=row["peak"],
        mean=round(row["seconds"] / row["length"], 2) if row["length"] else 0.0,
        students=row["students"],
        minutes=round(row["seconds"] / 60, 2),
        connections=row["connections"],
        reconnects=row["connections"] - row["students"],
        refused_joins=row["refused"],
        quality=_quality(row) if row["viewed"] else None,
    )


def _quality(row: asyncpg.Record) -> Quality:
    return Quality(
        minutes=round(row["viewed"] / 60, 2),
        reduced=round(100 * row["reduced"] / row["viewed"], 1),
        lost=round(100 * row["lost"] / row["viewed"], 2),
    )
