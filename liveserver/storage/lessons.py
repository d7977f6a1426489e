"""Table lessons. Whoever writes has locked the course."""

from datetime import datetime

import asyncpg

from liveserver.models.courses import Lesson, LessonType
from liveserver.models.ids import CourseId, LessonId, SectionId, UploadId, uuid7
from liveserver.storage.postgres import Connection

_SELECT = """
    SELECT l.id, l.section_id, s.course_id, l.type, l.title, l.content_url, l.duration, l.position, l.preview,
        l.published, l.available_from, l.version
    FROM lessons l JOIN sections s ON s.id = l.section_id
    WHERE l.deleted_at IS NULL AND s.deleted_at IS NULL
"""


def _lesson(row: asyncpg.Record) -> Lesson:
    return Lesson(
        id=row["id"],
        section_id=row["section_id"],
        course_id=row["course_id"],
        type=LessonType(row["type"]),
        title=row["title"],
        content_url=row["content_url"],
        duration=row["duration"],
        order=row["position"],
        preview=row["preview"],
        published=row["published"],
        available_from=row["available_from"],
        version=row["version"],
    )


async def of_course(conn: Connection, course_id: CourseId) -> list[Lesson]:
    rows = await conn.fetch(_SELECT + " AND s.course_id = $1 ORDER BY s.position, l.position", course_id)
    return [_lesson(row) for row in rows]


async def by_id(conn: Connection, lesson_id: LessonId) -> Lesson | None:
    row = await conn.fetchrow(_SELECT + " AND l.id = $1", lesson_id)
    return _lesson(row) if row else None


async def insert(
    conn: Connection,
    section_id: SectionId,
    *,
    kind: LessonType,
    title: str,
    preview: bool,
    published: bool = True,
    available_from: datetime | None = None,
    order: int | None = None,
) -> LessonId:
    """Put a lesson at `order`, or at the section's end; the ones from there move down."""
    position = await _make_room(conn, section_id, order)
    lesson = LessonId(uuid7())
    await conn.execute(
        "INSERT INTO lessons (id, section_id, type, title, position, preview, published, available_from)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        lesson,
        section_id,
        kind,
        title,
        position,
        preview,
        published,
        available_from,
    )
    return lesson


async def _make_room(conn: Connection, section_id: SectionId, order: int | None) -> int:
    count: int = await conn.fetchval(
        "SELECT count(*) FROM lessons WHERE section_id = $1 AND deleted_at IS NULL", section_id
    )
    position = min(order or count + 1, count + 1)
    await conn.execute(
        "UPDATE lessons SET position = position + 1"
        " WHERE section_id = $1 AND deleted_at IS NULL AND position >= $2",
        section_id,
        position,
    )
    return position


async def _close_gap(conn: Connection, section_id: SectionId, position: int) -> None:
    await conn.execute(
        "UPDATE lessons SET position = position - 1"
        " WHERE section_id = $1 AND deleted_at IS NULL AND position > $2",
        section_id,
        position,
    )


async def move(conn: Connection, lesson: Lesson, section_id: SectionId, order: int | None) -> None:
    """Put a lesson elsewhere, in another section or this one; no order is doubled or left out."""
    await delete(conn, lesson)
    position = await _make_room(conn, section_id, order)
    await conn.execute(
        "UPDATE lessons SET section_id = $2, position = $3, deleted_at = NULL WHERE id = $1",
        lesson.id,
        section_id,
        position,
    )


async def update(
    conn: Connection,
    lesson_id: LessonId,
    *,
    title: str | None,
    preview: bool | None,
    published: bool | None,
    available_from: datetime | None,
) -> None:
    """Change what is given; None leaves a column as it is."""
    await conn.execute(
        "UPDATE lessons SET title = coalesce($2, title), preview = coalesce($3, preview),"
        " published = coalesce($4, published), available_from = coalesce($5, available_from),"
        " version = version + 1 WHERE id = $1",
        lesson_id,
        title,
        preview,
        published,
        available_from,
    )


async def set_content(
    conn: Connection, lesson_id: LessonId, upload_id: UploadId, key: str, seconds: int | None
) -> None:
    """Give a lesson what was uploaded for it; `seconds` is a video's length when it is known."""
    await conn.execute(
        "UPDATE lessons SET upload_id = $2, content_url = $3, duration = $4 WHERE id = $1",
        lesson_id,
        upload_id,
        key,
        seconds,
    )


async def delete(conn: Connection, lesson: Lesson) -> None:
    """Take a lesson away; the row stays."""
    await conn.execute("UPDATE lessons SET deleted_at = now() WHERE id = $1", lesson.id)
    await _close_gap(conn, lesson.section_id, lesson.order)
