"""Table audit_log: who changed what, for ever."""

import json
from typing import Any
from uuid import UUID

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
