"""Table platform_settings: what an admin may change while the server runs."""

import json

from liveserver.storage.postgres import Connection


async def lock(conn: Connection) -> None:
    """Make reading and writing one step: of two admins at once each is audited against the other."""
    await conn.execute("LOCK TABLE platform_settings IN SHARE ROW EXCLUSIVE MODE")


async def all_of(conn: Connection) -> dict[str, object]:
    rows = await conn.fetch("SELECT key, value FROM platform_settings")
    return {row["key"]: json.loads(row["value"]) for row in rows}


async def put(conn: Connection, key: str, value: str) -> None:
    """Write one setting; `value` is JSON."""
    await conn.execute(
        "INSERT INTO platform_settings (key, value) VALUES ($1, $2)"
        " ON CONFLICT (key) DO UPDATE SET value = $2, updated_at = now()",
        key,
        value,
    )
