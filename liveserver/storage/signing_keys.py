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


async def lock(conn: Connection) -> None:
    """Let nobody else change the keys before this transaction ends; all go on reading."""
    await conn.execute("LOCK TABLE signing_keys IN EXCLUSIVE MODE")


async def insert(conn: Connection, kid: str, private_sealed: bytes, active_from: datetime) -> None:
    await conn.execute(
        "INSERT INTO signing_keys (kid, private_sealed, active_from) VALUES ($1, $2, $3)",
        kid,
        private_sealed,
        active_from,
    )


async def retire(conn: Connection, verify_until: datetime) -> None:
    """Let every key there is verify no longer than that."""
    await conn.execute(
        "UPDATE signing_keys SET verify_until = least(verify_until, $1)"
        " WHERE verify_until IS NULL OR verify_until > now()",
        verify_until,
    )
