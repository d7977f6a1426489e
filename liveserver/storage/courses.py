"""Tables courses and co_instructors."""

from uuid import UUID

import asyncpg

from liveserver.models.courses import Course, CourseStatus
from liveserver.models.ids import CourseId, UserId, uuid7
from liveserver.storage.postgres import Connection

_SELECT = """
    SELECT c.id, c.instructor_id, u.name AS instructor_name, c.title, c.description, c.price,
        c.currency, c.status, c.language, c.rejection_reason, c.version, c.created_at,
        c.updated_at, c.deleted_at,
        (SELECT count(*) FROM lessons l JOIN sections s ON s.id = l.section_id
            WHERE s.course_id = c.id AND l.deleted_at IS NULL AND s.deleted_at IS NULL)
            AS lesson_count,
        (SELECT count(*) FROM enrollments e WHERE e.course_id = c.id AND e.removed_at IS NULL)
            AS student_count,
        ARRAY(SELECT o.user_id FROM co_instructors o WHERE o.course_id = c.id) AS co_instructors
    FROM courses c JOIN users u ON u.id = c.instructor_id
"""


def _course(row: asyncpg.Record) -> Course:
    return Course(
        id=row["id"],
        instructor_id=row["instructor_id"],
        instructor_name=row["instructor_name"],
        title=row["title"],
        description=row["description"],
        price=row["price"],
        currency=row["currency"],
        status=CourseStatus(row["status"]),
        language=row["language"],
        rejection_reason=row["rejection_reason"],
        lesson_count=row["lesson_count"],
        student_count=row["student_count"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deleted_at=row["deleted_at"],
        staff=frozenset({row["instructor_id"], *row["co_instructors"]}),
    )


async def insert(
    conn: Connection,
    instructor: UserId,
    *,
    title: str,
    description: str,
    price: int,
    currency: str,
    language: str,
) -> CourseId:
    course = CourseId(uuid7())
    await conn.execute(
        "INSERT INTO courses (id, instructor_id, title, description, price, currency, status,"
        " language) VALUES ($1, $2, $3, $4, $5, $6, 'draft', $7)",
        course,
        instructor,
        title,
        description,
        price,
        currency,
        language,
    )
    return course


async def by_id(conn: Connection, course_id: CourseId) -> Course | None:
    row = await conn.fetchrow(_SELECT + " WHERE c.id = $1 AND c.deleted_at IS NULL", course_id)
    return _course(row) if row else None


async def lock(conn: Connection, course_id: CourseId) -> Course | None:
    """Return the course, locked so that a check and the write after it are one step."""
    await conn.execute("SELECT 1 FROM courses WHERE id = $1 FOR UPDATE", course_id)
    return await by_id(conn, course_id)


async def catalogue(conn: Connection, *, before: UUID | None, limit: int) -> list[Course]:
    """Return approved courses, newest first, from below the id `before`."""
    rows = await conn.fetch(
        _SELECT + " WHERE c.status = 'approved' AND c.deleted_at IS NULL AND u.status = 'active'"
        " AND ($1::uuid IS NULL OR c.id < $1) ORDER BY c.id DESC LIMIT $2",
        before,
        limit,
    )
    return [_course(row) for row in rows]


async def taught_by(
    conn: Connection,
    instructor: UserId,
    *,
    status: CourseStatus | None,
    before: UUID | None,
    limit: int,
) -> list[Course]:
    rows = await conn.fetch(
        _SELECT + " WHERE c.deleted_at IS NULL AND (c.instructor_id = $1 OR EXISTS (SELECT 1 FROM"
        " co_instructors o WHERE o.course_id = c.id AND o.user_id = $1))"
        " AND ($2::text IS NULL OR c.status = $2)"
        " AND ($3::uuid IS NULL OR c.id < $3) ORDER BY c.id DESC LIMIT $4",
        instructor,
        status,
        before,
        limit,
    )
    return [_course(row) for row in rows]


async def enrolled_by(conn: Connection, student: UserId, *, before: UUID | None, limit: int) -> list[Course]:
    rows = await conn.fetch(
        _SELECT + " JOIN enrollments e ON e.course_id = c.id WHERE e.student_id = $1"
        " AND e.removed_at IS NULL AND c.deleted_at IS NULL"
        " AND ($2::uuid IS NULL OR c.id < $2) ORDER BY c.id DESC LIMIT $3",
        student,
        before,
        limit,
    )
    return [_course(row) for row in rows]


async def for_review(
    conn: Connection, *, status: CourseStatus | None, before: UUID | None, limit: int
) -> list[Course]:
    """Return every course but drafts' order is by id; deleted ones carry their date."""
    rows = await conn.fetch(
        _SELECT + " WHERE ($1::text IS NULL OR c.status = $1)"
        " AND ($2::uuid IS NULL OR c.id < $2) ORDER BY c.id DESC LIMIT $3",
        status,
        before,
        limit,
    )
    return [_course(row) for row in rows]


async def set_status(
    conn: Connection, course_id: CourseId, status: CourseStatus, reason: str | None = None
) -> None:
    await conn.execute(
        "UPDATE courses SET status = $2, rejection_reason = $3, version = version + 1,"
        " updated_at = now(),"
        " submitted_at = CASE WHEN $2 = 'pending' THEN now() ELSE submitted_at END,"
        " approved_at = CASE WHEN $2 = 'approved' THEN now() ELSE approved_at END"
        " WHERE id = $1",
        course_id,
        status,
        reason,
    )


async def add_co_instructor(conn: Connection, course_id: CourseId, user_id: UserId) -> None:
    await conn.execute(
        "INSERT INTO co_instructors (course_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        course_id,
        user_id,
    )
