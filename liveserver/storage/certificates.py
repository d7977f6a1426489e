"""Table certificates: one for each student who finished a course, for ever."""

from uuid import UUID

import asyncpg

from liveserver.models.courses import Course
from liveserver.models.ids import UserId, uuid7
from liveserver.models.progress import Certificate
from liveserver.storage.postgres import Connection

_COLUMNS = (
    "id, code, student_id, course_id, student_name, course_title, instructor_name, language, issued_at,"
    " revoked_at"
)


def _certificate(row: asyncpg.Record) -> Certificate:
    return Certificate(
        id=row["id"],
        code=row["code"],
        student_id=row["student_id"],
        course_id=row["course_id"],
        student_name=row["student_name"],
        course_title=row["course_title"],
        instructor_name=row["instructor_name"],
        language=row["language"],
        issued_at=row["issued_at"],
        revoked_at=row["revoked_at"],
    )


async def issue(
    conn: Connection, code: str, student: UserId, student_name: str, course: Course
) -> Certificate | None:
    """Return the new certificate, or None when there is one already."""
    row = await conn.fetchrow(
        "INSERT INTO certificates (id, code, student_id, course_id, student_name, course_title,"
        " instructor_name, language) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        f" ON CONFLICT (student_id, course_id) DO NOTHING RETURNING {_COLUMNS}",
        uuid7(),
        code,
        student,
        course.id,
        student_name,
        course.title,
        course.instructor_name,
        course.language,
    )
    return _certificate(row) if row else None


async def by_code(conn: Connection, code: str) -> Certificate | None:
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM certificates WHERE code = $1", code)
    return _certificate(row) if row else None


async def of_student(
    conn: Connection, student: UserId, *, before: UUID | None, limit: int
) -> list[Certificate]:
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM certificates WHERE student_id = $1 AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        student,
        before,
        limit,
    )
    return [_certificate(row) for row in rows]


async def revoke(conn: Connection, code: str) -> Certificate | None:
    """Return the certificate that counts no more; None when there was none that did."""
    row = await conn.fetchrow(
        "UPDATE certificates SET revoked_at = now() WHERE code = $1 AND revoked_at IS NULL"
        f" RETURNING {_COLUMNS}",
        code,
    )
    return _certificate(row) if row else None
