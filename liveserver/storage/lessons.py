"""Table lessons."""

import asyncpg

from liveserver.models.courses import Lesson, LessonType
from liveserver.models.ids import CourseId, LessonId, SectionId, uuid7
from liveserver.storage.postgres import Connection

_SELECT = """
    SELECT l.id, l.section_id, s.course_id, l.type, l.title, l.duration, l.position, l.preview
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
        duration=row["duration"],
        order=row["position"],
        preview=row["preview"],
    )


async def of_course(conn: Connection, course_id: CourseId) -> list[Lesson]:
    rows = await conn.fetch(_SELECT + " AND s.course_id = $1 ORDER BY s.position, l.position", course_id)
    return [_lesson(row) for row in rows]


async def by_id(conn: Connection, lesson_id: LessonId) -> Lesson | None:
    row = await conn.fetchrow(_SELECT + " AND l.id = $1", lesson_id)
    return _lesson(row) if row else None


async def append(
    conn: Connection, section_id: SectionId, *, kind: LessonType, title: str, preview: bool
) -> LessonId:
    """Put a lesson at the section's end. The course is locked."""
    lesson = LessonId(uuid7())
    await conn.execute(
        "INSERT INTO lessons (id, section_id, type, title, position, preview)"
        " VALUES ($1, $2, $3, $4, (SELECT coalesce(max(position), 0) + 1 FROM lessons"
        " WHERE section_id = $2 AND deleted_at IS NULL), $5)",
        lesson,
        section_id,
        kind,
        title,
        preview,
    )
    return lesson
