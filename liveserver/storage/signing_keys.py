"""Table signing_keys: Ed25519 keys, sealed with auth.secret."""

from dataclasses import dataclass
from datetime import datetime

from liveserver.storage.postgres import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    kid: str
    private_sealed: bytes
    active_from: datetime
    verify_until: datetime | None


async def usable(conn: Connection) -> list[SealedKey]:
    """Return the keys whose signatures still count, newest first."""
    rows = await conn.fetch(
        "SELECT kid, private_sealed, active_from, verify_until FROM signing_keys"
        " WHERE verify_until IS NULL OR verify_until > now() ORDER BY active_from DESC"
    )
    return [
        SealedKey(
            kid=row["kid"],
            private_sealed=row["private_sealed"],
            active_from=row["active_from"],
            verify_until=row["verify_until"],
        )
        for row in rows
    ]


async def insert_first(conn: Connection, kid: str, private_sealed: bytes) -> None:
    """Store the first key; of several processes that start at once, one wins."""
    await conn.execute("LOCK TABLE signing_keys IN EXCLUSIVE MODE")
    await conn.execute(
        "INSERT INTO signing_keys (kid, private_sealed, active_from)"
        " SELECT $1, $2, now() WHERE NOT EXISTS (SELECT 1 FROM signing_keys)",
        kid,
        private_sealed,
    )
