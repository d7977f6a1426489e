"""Tables refresh_families and refresh_tokens: one family per login, one chain of tokens in it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from liveserver.models.accounts import DeviceLogin
from liveserver.models.ids import FamilyId, UserId, uuid7
from liveserver.storage.postgres import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    family_id: FamilyId
    user_id: UserId
    family_expires_at: datetime
    family_revoked_at: datetime | None
    expires_at: datetime
    used_at: datetime | None
    child_sealed: bytes | None
    child_used_at: datetime | None


async def open_family(
    conn: Connection, user_id: UserId, *, user_agent: str, address: str, expires_at: datetime
) -> FamilyId:
    family = FamilyId(uuid7())
    await conn.execute(
        "INSERT INTO refresh_families (id, user_id, user_agent, address, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        family,
        user_id,
        user_agent[:300],
        address,
        expires_at,
    )
    return family


async def add_token(conn: Connection, digest: bytes, family_id: FamilyId, expires_at: datetime) -> None:
    await conn.execute(
        "INSERT INTO refresh_tokens (hash, family_id, expires_at) VALUES ($1, $2, $3)",
        digest,
        family_id,
        expires_at,
    )


async def lock_token(conn: Connection, digest: bytes) -> RefreshToken | None:
    """Return the token with its family, locked so that two refreshes of it take turns."""
    row = await conn.fetchrow(
        "SELECT t.family_id, f.user_id, f.expires_at AS family_expires_at, f.revoked_at,"
        " t.expires_at, t.used_at, t.child_sealed, c.used_at AS child_used_at"
        " FROM refresh_tokens t JOIN refresh_families f ON f.id = t.family_id"
        " LEFT JOIN refresh_tokens c ON c.hash = t.child_hash"
        " WHERE t.hash = $1 FOR UPDATE OF t, f",
        digest,
    )
    if row is None:
        return None
    return RefreshToken(
        family_id=row["family_id"],
        user_id=row["user_id"],
        family_expires_at=row["family_expires_at"],
        family_revoked_at=row["revoked_at"],
        expires_at=row["expires_at"],
        used_at=row["used_at"],
        child_sealed=row["child_sealed"],
        child_used_at=row["child_used_at"],
    )


async def rotate(conn: Connection, digest: bytes, child: bytes, child_sealed: bytes) -> None:
    await conn.execute(
        "WITH used AS (UPDATE refresh_tokens SET used_at = clock_timestamp(), child_hash = $2,"
        " child_sealed = $3 WHERE hash = $1 AND used_at IS NULL RETURNING family_id)"
        " UPDATE refresh_families f SET used_at = now() FROM used WHERE f.id = used.family_id",
        digest,
        child,
        child_sealed,
    )


async def revoke_family(conn: Connection, family_id: FamilyId, reason: str) -> UserId | None:
    """End a login; return whose it was, None when it had ended before."""
    owner: UserId | None = await conn.fetchval(
        "UPDATE refresh_families SET revoked_at = now(), revoked_reason = $2"
        " WHERE id = $1 AND revoked_at IS NULL RETURNING user_id",
        family_id,
        reason,
    )
    return owner


async def family_of(conn: Connection, digest: bytes) -> FamilyId | None:
    family: FamilyId | None = await conn.fetchval(
        "SELECT family_id FROM refresh_tokens WHERE hash = $1", digest
    )
    return family


async def of_user(conn: Connection, user_id: UserId, *, before: UUID | None, limit: int) -> list[DeviceLogin]:
    """Return a page of the logins that still count, newest first."""
    rows = await conn.fetch(
        "SELECT id, user_agent, address, created_at, used_at, expires_at FROM refresh_families"
        " WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()"
        " AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        user_id,
        before,
        limit,
    )
    return [DeviceLogin(**dict(row)) for row in rows]


async def revoke_of_user(
    conn: Connection,
    user_id: UserId,
    reason: str,
    *,
    only: FamilyId | None = None,
    but: FamilyId | None = None,
) -> list[FamilyId]:
    """End logins of a person: one, or all, or all but one; return which."""
    rows = await conn.fetch(
        "UPDATE refresh_families SET revoked_at = now(), revoked_reason = $2"
        " WHERE user_id = $1 AND revoked_at IS NULL AND ($3::uuid IS NULL OR id = $3)"
        " AND ($4::uuid IS NULL OR id <> $4) RETURNING id",
        user_id,
        reason,
        only,
        but,
    )
    return [row["id"] for row in rows]


async def ended_among(conn: Connection, families: list[FamilyId]) -> set[FamilyId]:
    """Return which of these logins count no more: logged out, or of a disabled account."""
    rows = await conn.fetch(
        "SELECT f.id FROM refresh_families f JOIN users u ON u.id = f.user_id"
        " WHERE f.id = ANY($1) AND (f.revoked_at IS NOT NULL OR u.status = 'disabled')",
        families,
    )
    return {row["id"] for row in rows}
