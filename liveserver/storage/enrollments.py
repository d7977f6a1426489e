"""Table enrollments: one row per student and course, for ever."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from liveserver.models.courses import EnrolledStudent, Enrollment
from liveserver.models.ids import CourseId, LiveSessionId, UserId, uuid7
from liveserver.storage.postgres import Connection

_COLUMNS = "id, student_id, course_id, progress, created_at, removed_at"


def _enrollment(row: asyncpg.Record) -> Enrollment:
    return Enrollment(
        id=row["id"],
        student_id=row["student_id"],
        course_id=row["course_id"],
        progress=row["progress"],
        created_at=row["created_at"],
        removed_at=row["removed_at"],
    )


async def of_student(conn: Connection, student: UserId, course_id: CourseId) -> Enrollment | None:
    """Return the row, a removed student's too."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM enrollments WHERE student_id = $1 AND course_id = $2",
        student,
        course_id,
    )
    return _enrollment(row) if row else None


async def insert(conn: Connection, student: UserId, course_id: CourseId) -> Enrollment | None:
    """Return the new row, or None when there is one already."""
    row = await conn.fetchrow(
        "INSERT INTO enrollments (id, student_id, course_id) VALUES ($1, $2, $3)"
        f" ON CONFLICT (student_id, course_id) DO NOTHING RETURNING {_COLUMNS}",
        uuid7(),
        student,
        course_id,
    )
    return _enrollment(row) if row else None


async def lock(conn: Connection, student: UserId, course_id: CourseId) -> None:
    """Make reading a student's progress and writing it one step."""
    await conn.execute(
        "SELECT 1 FROM enrollments WHERE student_id = $1 AND course_id = $2 FOR UPDATE", student, course_id
    )


async def set_removed(
    conn: Connection, student: UserId, course_id: CourseId, *, removed: bool, by: str = "instructor"
) -> bool:
    """Remove or let back in; False when it was so already. `by` is instructor or refund."""
    row = await conn.fetchrow(
        "UPDATE enrollments SET removed_at = CASE WHEN $3 THEN now() END,"
        " removed_by = CASE WHEN $3 THEN $4 END"
        " WHERE student_id = $1 AND course_id = $2 AND (removed_at IS NULL) = $3 RETURNING id",
        student,
        course_id,
        removed,
        by,
    )
    return row is not None


async def is_shut_out(conn: Connection, student: UserId, course_id: CourseId) -> bool:
    """Say whether somebody was removed by an instructor: no payment lets them in again."""
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM enrollments WHERE student_id = $1 AND course_id = $2"
            " AND removed_at IS NOT NULL AND removed_by IS DISTINCT FROM 'refund'",
            student,
            course_id,
        )
    )


async def of_course(
    conn: Connection, course_id: CourseId, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[EnrolledStudent]:
    """Return who is enrolled, the newest first."""
    rows = await conn.fetch(
        "SELECT e.id, u.id AS user_id, u.name, u.email, e.progress, e.created_at, greatest("
        " (SELECT max(a.last_seen_at) FROM attendance_intervals a JOIN live_sessions v ON v.id = a.session_id"
        " WHERE a.user_id = u.id AND v.course_id = e.course_id),"
        " (SELECT max(p.updated_at) FROM lesson_progress p JOIN lessons l ON l.id = p.lesson_id"
        " JOIN sections s ON s.id = l.section_id"
        " WHERE p.student_id = u.id AND s.course_id = e.course_id)) AS last_seen_at"
        " FROM enrollments e JOIN users u ON u.id = e.student_id"
        " WHERE e.course_id = $1 AND e.removed_at IS NULL"
        " AND ($2::timestamptz IS NULL OR (e.created_at, e.id) < ($2, $3))"
        " ORDER BY e.created_at DESC, e.id DESC LIMIT $4",
        course_id,
        after[0] if after else None,
        after[1] if after else None,
        limit,
    )
    return [
        EnrolledStudent(
            enrollment_id=row["id"],
            user_id=row["user_id"],
            name=row["name"],
            email=row["email"],
            progress=row["progress"],
            enrolled_at=row["created_at"],
            last_seen_at=row["last_seen_at"],
        )
        for row in rows
    ]


async def strangers(conn: Connection, session_id: LiveSessionId, users: Sequence[UserId]) -> list[UserId]:
    """Return who of these neither studies nor teaches in the course of a class."""
    rows = await conn.fetch(
        "SELECT p.id FROM unnest($2::uuid[]) AS p (id), live_sessions v JOIN courses c ON c.id = v.course_id"
        " WHERE v.id = $1 AND c.instructor_id <> p.id"
        " AND NOT EXISTS (SELECT 1 FROM enrollments e WHERE e.student_id = p.id"
        " AND e.course_id = v.course_id AND e.removed_at IS NULL)"
        " AND NOT EXISTS (SELECT 1 FROM co_instructors o WHERE o.course_id = c.id AND o.user_id = p.id)",
        session_id,
        list(users),
    )
    return [row["id"] for row in rows]


async def is_enrolled(conn: Connection, student: UserId, course_id: CourseId) -> bool:
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM enrollments WHERE student_id = $1 AND course_id = $2 AND removed_at IS NULL",
            student,
            course_id,
        )
    )
