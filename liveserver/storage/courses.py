"""Tables courses and co_instructors."""

from uuid import UUID

import asyncpg

from liveserver.models.courses import Course, CourseFacts, CourseStatus
from liveserver.models.ids import CourseId, UserId, uuid7
from liveserver.storage.postgres import Connection

SELECT = """
    SELECT c.id, c.instructor_id, u.name AS instructor_name, c.title, c.description, c.price,
        c.currency, c.status, c.closed, c.language, c.rejection_reason, c.sequential, c.late_after,
        c.early_before, c.version, c.created_at, c.updated_at, c.approved_at, c.edited_at, c.deleted_at,
        c.student_count,
        (SELECT count(*) FROM lessons l JOIN sections s ON s.id = l.section_id
            WHERE s.course_id = c.id AND l.deleted_at IS NULL AND s.deleted_at IS NULL AND l.published)
            AS lesson_count,
        u.role = 'instructor' AS owner_teaches,
        ARRAY(SELECT o.user_id FROM co_instructors o WHERE o.course_id = c.id) AS co_instructors
    FROM courses c JOIN users u ON u.id = c.instructor_id
"""


def of_row(row: asyncpg.Record) -> Course:
    return Course(
        id=row["id"],
        instructor_id=row["instructor_id"],
        instructor_name=row["instructor_name"],
        title=row["title"],
        description=row["description"],
        price=row["price"],
        currency=row["currency"],
        status=CourseStatus(row["status"]),
        closed=row["closed"],
        language=row["language"],
        rejection_reason=row["rejection_reason"],
        sequential=row["sequential"],
        late_after=row["late_after"],
        early_before=row["early_before"],
        lesson_count=row["lesson_count"],
        student_count=row["student_count"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        approved_at=row["approved_at"],
        edited_at=row["edited_at"],
        deleted_at=row["deleted_at"],
        staff=staff_of(row),
    )


def staff_of(row: asyncpg.Record) -> frozenset[UserId]:
    """Return who teaches a course: an owner who is no instructor any more does not."""
    owner = {row["instructor_id"]} if row["owner_teaches"] else set()
    return frozenset({*owner, *row["co_instructors"]})


async def insert(conn: Connection, instructor: UserId, facts: CourseFacts) -> CourseId:
    """Add a draft; everything must be said of it."""
    course = CourseId(uuid7())
    await conn.execute(
        "INSERT INTO courses (id, instructor_id, status, title, description, price, currency, language,"
        " sequential, late_after, early_before) VALUES ($1, $2, 'draft', $3, $4, $5, $6, $7, $8, $9, $10)",
        course,
        instructor,
        facts["title"],
        facts["description"],
        facts["price"],
        facts["currency"],
        facts["language"],
        facts["sequential"],
        facts["late_after"],
        facts["early_before"],
    )
    return course


async def by_id(conn: Connection, course_id: CourseId, *, deleted: bool = False) -> Course | None:
    """Return the course; one that was deleted only to who asks for such."""
    row = await conn.fetchrow(
        SELECT + " WHERE c.id = $1 AND ($2 OR c.deleted_at IS NULL)", course_id, deleted
    )
    return of_row(row) if row else None


async def lock(conn: Connection, course_id: CourseId, *, deleted: bool = False) -> Course | None:
    """Return the course, locked so that a check and the write after it are one step."""
    await conn.execute("SELECT 1 FROM courses WHERE id = $1 FOR UPDATE", course_id)
    return await by_id(conn, course_id, deleted=deleted)


async def update(conn: Connection, course_id: CourseId, facts: CourseFacts) -> None:
    """Change what is said."""
    await conn.execute(
        "UPDATE courses SET title = coalesce($2, title), description = coalesce($3, description),"
        " price = coalesce($4, price), currency = coalesce($5, currency), language = coalesce($6, language),"
        " sequential = coalesce($7, sequential), late_after = coalesce($8, late_after),"
        " early_before = coalesce($9, early_before), version = version + 1 WHERE id = $1",
        course_id,
        facts.get("title"),
        facts.get("description"),
        facts.get("price"),
        facts.get("currency"),
        facts.get("language"),
        facts.get("sequential"),
        facts.get("late_after"),
        facts.get("early_before"),
    )


async def touch(conn: Connection, course_id: CourseId) -> None:
    """Note that what the course is made of has changed."""
    await conn.execute("UPDATE courses SET edited_at = now(), updated_at = now() WHERE id = $1", course_id)


async def set_deleted(conn: Connection, course_id: CourseId, *, deleted: bool) -> None:
    await conn.execute(
        "UPDATE courses SET deleted_at = CASE WHEN $2 THEN now() END, version = version + 1,"
        " updated_at = now() WHERE id = $1",
        course_id,
        deleted,
    )


async def reassign(conn: Connection, old: UserId, new: UserId) -> list[CourseId]:
    """Give every course of one instructor to another; return which."""
    rows = await conn.fetch(
        "UPDATE courses SET instructor_id = $2, version = version + 1, updated_at = now()"
        " WHERE instructor_id = $1 RETURNING id",
        old,
        new,
    )
    await conn.execute(
        "DELETE FROM co_instructors o USING courses c"
        " WHERE c.id = o.course_id AND o.user_id = $1 AND c.instructor_id = $1",
        new,
    )
    return [row["id"] for row in rows]


async def taught_by(
    conn: Connection,
    instructor: UserId,
    *,
    status: CourseStatus | None,
    deleted: bool,
    before: UUID | None,
    limit: int,
) -> list[Course]:
    """Return who teaches them their courses, newest first; of deleted ones only the owner's own."""
    rows = await conn.fetch(
        SELECT + " WHERE (c.instructor_id = $1 OR (NOT $5 AND EXISTS (SELECT 1 FROM"
        " co_instructors o WHERE o.course_id = c.id AND o.user_id = $1)))"
        " AND (c.deleted_at IS NOT NULL) = $5 AND ($2::text IS NULL OR c.status = $2)"
        " AND ($3::uuid IS NULL OR c.id < $3) ORDER BY c.id DESC LIMIT $4",
        instructor,
        status,
        before,
        limit,
        deleted,
    )
    return [of_row(row) for row in rows]


async def enrolled_by(conn: Connection, student: UserId, *, before: UUID | None, limit: int) -> list[Course]:
    rows = await conn.fetch(
        SELECT + " JOIN enrollments e ON e.course_id = c.id WHERE e.student_id = $1"
        " AND e.removed_at IS NULL AND c.deleted_at IS NULL"
        " AND ($2::uuid IS NULL OR c.id < $2) ORDER BY c.id DESC LIMIT $3",
        student,
        before,
        limit,
    )
    return [of_row(row) for row in rows]


async def for_review(
    conn: Connection, *, status: CourseStatus | None, after: tuple[int, UUID] | None, limit: int
) -> list[Course]:
    """Return every course, those that wait for a review first; deleted ones carry their date.

    `after` is where the page before ended: 0 for a waiting course, else 1, and its id.
    """
    rows = await conn.fetch(
        SELECT + " WHERE ($1::text IS NULL OR c.status = $1) AND ($2::integer IS NULL"
        " OR (c.status <> 'pending')::integer > $2"
        " OR ((c.status <> 'pending')::integer = $2 AND c.id < $3))"
        " ORDER BY (c.status <> 'pending')::integer, c.id DESC LIMIT $4",
        status,
        after[0] if after else None,
        after[1] if after else None,
        limit,
    )
    return [of_row(row) for row in rows]


async def set_status(
    conn: Connection,
    course_id: CourseId,
    status: CourseStatus,
    reason: str | None = None,
    *,
    closed: bool | None = None,
) -> None:
    """Set what a course is; None of `closed` leaves that as it is."""
    await conn.execute(
        "UPDATE courses SET status = $2, rejection_reason = $3, version = version + 1,"
        " updated_at = now(),"
        " submitted_at = CASE WHEN $2 = 'pending' THEN now() ELSE submitted_at END,"
        " approved_at = CASE WHEN $2 = 'approved' THEN now() ELSE approved_at END,"
        " closed = coalesce($4, closed) WHERE id = $1",
        course_id,
        status,
        reason,
        closed,
    )


async def add_co_instructor(conn: Connection, course_id: CourseId, user_id: UserId) -> None:
    await conn.execute(
        "INSERT INTO co_instructors (course_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        course_id,
        user_id,
    )


async def end_co_instructing(conn: Connection, user_id: UserId) -> None:
    """Take somebody off every course of others."""
    await conn.execute("DELETE FROM co_instructors WHERE user_id = $1", user_id)


async def remove_co_instructor(conn: Connection, course_id: CourseId, user_id: UserId) -> bool:
    gone = await conn.fetchval(
        "DELETE FROM co_instructors WHERE course_id = $1 AND user_id = $2 RETURNING 1", course_id, user_id
    )
    return bool(gone)
