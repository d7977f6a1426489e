"""Table notifications."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from liveserver.models.ids import CourseId, NotificationId, UserId, uuid7
from liveserver.models.notifications import Notification, NotificationKind
from liveserver.storage.postgres import Connection

_COLUMNS = "id, user_id, kind, facts, created_at, read_at"


def _notification(row: asyncpg.Record) -> Notification:
    return Notification(
        id=row["id"],
        user_id=row["user_id"],
        kind=NotificationKind(row["kind"]),
        facts=json.loads(row["facts"]),
        created_at=row["created_at"],
        read_at=row["read_at"],
    )


async def insert(
    conn: Connection, users: Sequence[UserId], kind: NotificationKind, key: str, facts: Mapping[str, Any]
) -> list[UserId]:
    """Tell people a fact; return those who had not been told it before."""
    rows = await conn.fetch(
        "INSERT INTO notifications (id, user_id, kind, facts, key)"
        " SELECT id, user_id, $3, $4, $5 FROM unnest($1::uuid[], $2::uuid[]) AS told (id, user_id)"
        " ON CONFLICT (key, user_id) DO NOTHING RETURNING user_id",
        [uuid7() for _ in users],
        list(users),
        kind,
        json.dumps(facts, default=str),
        key,
    )
    return [row["user_id"] for row in rows]


async def students_of(conn: Connection, course_id: CourseId) -> list[UserId]:
    """Return who is enrolled and may be told."""
    rows = await conn.fetch(
        "SELECT e.student_id FROM enrollments e JOIN users u ON u.id = e.student_id"
        " WHERE e.course_id = $1 AND e.removed_at IS NULL AND u.status <> 'disabled'",
        course_id,
    )
    return [row["student_id"] for row in rows]


async def told(conn: Connection, key: str, users: Sequence[UserId]) -> list[Notification]:
    """Return what these people were told under a key."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM notifications WHERE key = $1 AND user_id = ANY($2)", key, list(users)
    )
    return [_notification(row) for row in rows]


async def take_unmailed(conn: Connection, key: str) -> tuple[Notification, str, str] | None:
    """Return a notification nobody has mailed yet with e-mail and language, marked as mailed: a mail goes out
    at most once, also when it is interrupted.
    """
    row = await conn.fetchrow(
        "UPDATE notifications n SET mailed_at = now() FROM users u WHERE u.id = n.user_id AND n.id IN ("
        " SELECT id FROM notifications WHERE key = $1 AND mailed_at IS NULL ORDER BY id LIMIT 1"
        " FOR UPDATE SKIP LOCKED) RETURNING n.id, n.user_id, n.kind, n.facts, n.created_at, n.read_at,"
        " u.email, u.locale",
        key,
    )
    return (_notification(row), row["email"], row["locale"]) if row else None


async def of_user(
    conn: Connection, user_id: UserId, *, before: UUID | None, limit: int
) -> list[Notification]:
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM notifications WHERE user_id = $1 AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        user_id,
        before,
        limit,
    )
    return [_notification(row) for row in rows]


async def unread(conn: Connection, user_id: UserId) -> int:
    count: int = await conn.fetchval(
        "SELECT count(*) FROM notifications WHERE user_id = $1 AND read_at IS NULL", user_id
    )
    return count


async def mark_read(conn: Connection, user_id: UserId, notification_id: NotificationId) -> bool:
    """Return whether the person has such a notification."""
    row = await conn.fetchrow(
        "UPDATE notifications SET read_at = coalesce(read_at, now())"
        " WHERE id = $1 AND user_id = $2 RETURNING id",
        notification_id,
        user_id,
    )
    return row is not None


async def mark_all_read(conn: Connection, user_id: UserId) -> None:
    await conn.execute(
        "UPDATE notifications SET read_at = now() WHERE user_id = $1 AND read_at IS NULL", user_id
    )
