"""Table platform_settings: what an admin may change while the server runs."""

import json

from liveserver.storage.postgres import Connection


async def all_of(conn: Connection) -> dict[str, object]:
    rows = await conn.fetch("SELECT key, value FROM platform_settings")
    return {row["key"]: json.loads(row["value"]) for row in rows}
