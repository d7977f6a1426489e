"""Table sections. Whoever writes has locked the course."""

import asyncpg

from liveserver.models.courses import Section
from liveserver.models.ids import CourseId, SectionId, uuid7
from liveserver.storage.postgres import Connection

_COLUMNS = "id, course_id, title, position, version"


def _section(row: asyncpg.Record) -> Section:
    return Section(
        id=row["id"],
        course_id=row["course_id"],
        title=row["title"],
        order=row["position"],
        version=row["version"],
    )


async def of_course(conn: Connection, course_id: CourseId) -> list[Section]:
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM sections WHERE course_id = $1 AND deleted_at IS NULL ORDER BY position",
        course_id,
    )
    return [_section(row) for row in rows]


async def by_id(conn: Connection, section_id: SectionId) -> Section | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM sections WHERE id = $1 AND deleted_at IS NULL", section_id
    )
    return _section(row) if row else None


async def insert(conn: Connection, course_id: CourseId, title: str, order: int | None) -> Section:
    """Put a section at `order`, or at the end; the ones from there move down."""
    position = await _room(conn, course_id, order)
    await conn.execute(
        "UPDATE sections SET position = position + 1"
        " WHERE course_id = $1 AND deleted_at IS NULL AND position >= $2",
        course_id,
        position,
    )
    row = await conn.fetchrow(
        f"INSERT INTO sections (id, course_id, title, position) VALUES ($1, $2, $3, $4) RETURNING {_COLUMNS}",
        uuid7(),
        course_id,
        title,
        position,
    )
    assert row is not None  # noqa: S101 - RETURNING of an insert
    return _section(row)


async def _room(conn: Connection, course_id: CourseId, order: int | None) -> int:
    count: int = await conn.fetchval(
        "SELECT count(*) FROM sections WHERE course_id = $1 AND deleted_at IS NULL", course_id
    )
    return min(order or count + 1, count + 1)


async def update(conn: Connection, section: Section, *, title: str | None, order: int | None) -> None:
    """Rename and move; the sections between close the gap and make room."""
    if order is not None:
        order = min(order, await _room(conn, section.course_id, None) - 1)
        await conn.execute(
            "UPDATE sections SET position = CASE WHEN id = $2 THEN $4::integer"
            " WHEN position > $3::integer THEN position - 1 ELSE position + 1 END"
            " WHERE course_id = $1 AND deleted_at IS NULL"
            " AND position BETWEEN least($3::integer, $4) AND greatest($3::integer, $4)",
            section.course_id,
            section.id,
            section.order,
            order,
        )
    await conn.execute(
        "UPDATE sections SET title = coalesce($2, title), version = version + 1 WHERE id = $1",
        section.id,
        title,
    )


async def delete(conn: Connection, section: Section) -> None:
    """Take a section away with its lessons; the rows stay."""
    await conn.execute("UPDATE sections SET deleted_at = now() WHERE id = $1", section.id)
    await conn.execute(
        "UPDATE lessons SET deleted_at = now() WHERE section_id = $1 AND deleted_at IS NULL", section.id
    )
    await conn.execute(
        "UPDATE sections SET position = position - 1"
        " WHERE course_id = $1 AND deleted_at IS NULL AND position > $2",
        section.course_id,
        section.order,
    )
