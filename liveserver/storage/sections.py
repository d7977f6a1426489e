"""Table sections."""

import asyncpg

from liveserver.models.courses import Section
from liveserver.models.ids import CourseId, SectionId, uuid7
from liveserver.storage.postgres import Connection


def _section(row: asyncpg.Record) -> Section:
    return Section(id=row["id"], course_id=row["course_id"], title=row["title"], order=row["position"])


async def of_course(conn: Connection, course_id: CourseId) -> list[Section]:
    rows = await conn.fetch(
        "SELECT id, course_id, title, position FROM sections"
        " WHERE course_id = $1 AND deleted_at IS NULL ORDER BY position",
        course_id,
    )
    return [_section(row) for row in rows]


async def by_id(conn: Connection, section_id: SectionId) -> Section | None:
    row = await conn.fetchrow(
        "SELECT id, course_id, title, position FROM sections WHERE id = $1 AND deleted_at IS NULL",
        section_id,
    )
    return _section(row) if row else None


async def insert(conn: Connection, course_id: CourseId, title: str, order: int | None) -> Section:
    """Put a section at `order`, or at the end; the ones from there move down. Course is locked."""
    count = await conn.fetchval(
        "SELECT count(*) FROM sections WHERE course_id = $1 AND deleted_at IS NULL", course_id
    )
    position = min(order or count + 1, count + 1)
    await _make_room(conn, course_id, position)
    row = await conn.fetchrow(
        "INSERT INTO sections (id, course_id, title, position) VALUES ($1, $2, $3, $4)"
        " RETURNING id, course_id, title, position",
        uuid7(),
        course_id,
        title,
        position,
    )
    assert row is not None  # noqa: S101 - RETURNING of an insert
    return _section(row)


async def _make_room(conn: Connection, course_id: CourseId, position: int) -> None:
    # The unique index is checked row by row, so the rows go out of its way first.
    await conn.execute(
        "UPDATE sections SET position = position + 1000000"
        " WHERE course_id = $1 AND deleted_at IS NULL AND position >= $2",
        course_id,
        position,
    )
    await conn.execute(
        "UPDATE sections SET position = position - 999999"
        " WHERE course_id = $1 AND deleted_at IS NULL AND position > 1000000",
        course_id,
    )
