"""Table audit_log: who changed what, for ever."""

import json
from typing import Any
from uuid import UUID

from liveserver.models.accounts import AuditEntry
from liveserver.models.ids import UserId, uuid7
from liveserver.storage.postgres import Connection


async def write(
    conn: Connection, actor: UserId | None, action: str, subject: UUID | None, **details: Any
) -> None:
    await conn.execute(
        "INSERT INTO audit_log (id, actor_id, action, subject, details) VALUES ($1, $2, $3, $4, $5)",
        uuid7(),
        actor,
        action,
        subject,
        json.dumps(details, default=str),
    )


async def find(
    conn: Connection, *, action: str | None, actor: UserId | None, before: UUID | None, limit: int
) -> list[AuditEntry]:
    """Return entries, newest first; `action` may be the beginning of one (`course.`)."""
    rows = await conn.fetch(
        "SELECT a.id, a.actor_id, u.name AS actor_name, a.action, a.subject, a.details, a.at"
        " FROM audit_log a LEFT JOIN users u ON u.id = a.actor_id"
        " WHERE ($1::text IS NULL OR starts_with(a.action, $1)) AND ($2::uuid IS NULL OR a.actor_id = $2)"
        " AND ($3::uuid IS NULL OR a.id < $3) ORDER BY a.id DESC LIMIT $4",
        action,
        actor,
        before,
        limit,
    )
    return [
        AuditEntry(
            id=row["id"],
            actor_id=row["actor_id"],
            actor_name=row["actor_name"],
            action=row["action"],
            subject=str(row["subject"]) if row["subject"] else None,
            details=json.loads(row["details"]),
            at=row["at"],
        )
        for row in rows
    ]
