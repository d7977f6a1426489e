"""Table account_tokens: one-time words sent by mail; only their hashes are kept."""

from datetime import timedelta

from liveserver.models.ids import UserId
from liveserver.storage.postgres import Connection


async def insert(conn: Connection, user_id: UserId, purpose: str, digest: bytes, life: timedelta) -> None:
    """Keep a new token; older ones of the same purpose count no more."""
    await conn.execute(
        "UPDATE account_tokens SET used_at = now() WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL",
        user_id,
        purpose,
    )
    await conn.execute(
        "INSERT INTO account_tokens (hash, user_id, purpose, expires_at) VALUES ($1, $2, $3, now() + $4)",
        digest,
        user_id,
        purpose,
        life,
    )


async def owner(conn: Connection, purpose: str, digest: bytes) -> UserId | None:
    """Return whose token it is while it may be used."""
    found: UserId | None = await conn.fetchval(
        "SELECT user_id FROM account_tokens WHERE hash = $1 AND purpose = $2 AND used_at IS NULL"
        " AND expires_at > now()",
        digest,
        purpose,
    )
    return found


async def use(conn: Connection, purpose: str, digest: bytes) -> UserId | None:
    """Return whose token it is, the first time and before it expires."""
    found: UserId | None = await conn.fetchval(
        "UPDATE account_tokens SET used_at = now() WHERE hash = $1 AND purpose = $2 AND used_at IS NULL"
        " AND expires_at > now() RETURNING user_id",
        digest,
        purpose,
    )
    return found
