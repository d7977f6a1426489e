"""Table enrollments: one row per student and course, for ever."""

import asyncpg

from liveserver.models.courses import Enrollment
from liveserver.models.ids import CourseId, UserId, uuid7
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


async def is_enrolled(conn: Connection, student: UserId, course_id: CourseId) -> bool:
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM enrollments WHERE student_id = $1 AND course_id = $2 AND removed_at IS NULL",
            student,
            course_id,
        )
    )
