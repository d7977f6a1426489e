"""Table users."""

from datetime import datetime
from uuid import UUID

import asyncpg

from liveserver.models.accounts import AccountStatus, Role, User, UserFilter
from liveserver.models.ids import UserId, uuid7
from liveserver.storage.postgres import Connection

_COLUMNS = (
    "id, name, email, role, status, locale, timezone, token_version, created_at, avatar_key,"
    " email_verified_at, awaits_confirmation"
)


def _user(row: asyncpg.Record) -> User:
    return User(
        id=row["id"],
        name=row["name"],
        email=row["email"],
        role=Role(row["role"]),
        status=AccountStatus(row["status"]),
        locale=row["locale"],
        timezone=row["timezone"],
        token_version=row["token_version"],
        created_at=row["created_at"],
        avatar_key=row["avatar_key"],
        email_verified_at=row["email_verified_at"],
        awaits_confirmation=row["awaits_confirmation"],
    )


async def insert(
    conn: Connection,
    *,
    name: str,
    email: str,
    password_hash: str,
    role: Role,
    status: AccountStatus,
    locale: str,
    timezone: str,
    awaits_confirmation: bool = False,
) -> User | None:
    """Return the new user, or None when the e-mail is taken."""
    row = await conn.fetchrow(
        "INSERT INTO users (id, name, email, password_hash, role, status, locale, timezone,"
        " awaits_confirmation) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (email) DO NOTHING"
        f" RETURNING {_COLUMNS}",
        uuid7(),
        name,
        email,
        password_hash,
        role,
        status,
        locale,
        timezone,
        awaits_confirmation,
    )
    return _user(row) if row else None


async def by_id(conn: Connection, user_id: UserId) -> User | None:
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM users WHERE id = $1", user_id)
    return _user(row) if row else None


async def by_email(conn: Connection, email: str) -> tuple[User, str] | None:
    """Return the user and the password's hash."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS}, password_hash FROM users WHERE email = $1", email)
    return (_user(row), row["password_hash"]) if row else None


async def set_password_hash(conn: Connection, user_id: UserId, password_hash: str) -> None:
    await conn.execute(
        "UPDATE users SET password_hash = $2, updated_at = now() WHERE id = $1",
        user_id,
        password_hash,
    )


async def set_email_verified(conn: Connection, user_id: UserId) -> None:
    await conn.execute(
        "UPDATE users SET email_verified_at = coalesce(email_verified_at, now()),"
        " awaits_confirmation = false WHERE id = $1",
        user_id,
    )


async def names(conn: Connection, user_ids: list[UserId]) -> dict[UserId, str]:
    rows = await conn.fetch("SELECT id, name FROM users WHERE id = ANY($1)", user_ids)
    return {row["id"]: row["name"] for row in rows}


async def login_state(
    conn: Connection, user_id: UserId, family: object
) -> tuple[User, datetime | None] | None:
    """Return the user and when the login was revoked; None when either is unknown."""
    row = await conn.fetchrow(
        "SELECT u.id, u.name, u.email, u.role, u.status, u.locale, u.timezone, u.token_version,"
        " u.created_at, u.avatar_key, u.email_verified_at, u.awaits_confirmation, f.revoked_at"
        " FROM users u JOIN refresh_families f ON f.user_id = u.id"
        " WHERE u.id = $1 AND f.id = $2",
        user_id,
        family,
    )
    return (_user(row), row["revoked_at"]) if row else None


async def lock(conn: Connection, user_id: UserId) -> User | None:
    """Return the account, locked so that a check and the write after it are one step."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM users WHERE id = $1 FOR UPDATE", user_id)
    return _user(row) if row else None


async def password_hash_of(conn: Connection, user_id: UserId) -> str:
    found: str = await conn.fetchval("SELECT password_hash FROM users WHERE id = $1", user_id)
    return found


async def update(
    conn: Connection,
    user_id: UserId,
    *,
    name: str | None,
    locale: str | None,
    timezone: str | None,
    avatar_key: str | None,
) -> None:
    """Change what is given; None leaves a column as it is, an empty key takes the portrait away."""
    await conn.execute(
        "UPDATE users SET name = coalesce($2, name), locale = coalesce($3, locale),"
        " timezone = coalesce($4, timezone), avatar_key = nullif(coalesce($5, avatar_key), ''),"
        " updated_at = now() WHERE id = $1",
        user_id,
        name,
        locale,
        timezone,
        avatar_key,
    )


async def set_status(conn: Connection, user_id: UserId, status: AccountStatus, reason: str | None) -> None:
    """Change an account's status; its access tokens are outdated with it."""
    await conn.execute(
        "UPDATE users SET status = $2, disabled_reason = $3, token_version = token_version + 1,"
        " updated_at = now() WHERE id = $1",
        user_id,
        status,
        reason,
    )


async def set_role(conn: Connection, user_id: UserId, role: Role) -> None:
    """Change an account's role; its access tokens are outdated with it."""
    await conn.execute(
        "UPDATE users SET role = $2, token_version = token_version + 1, updated_at = now() WHERE id = $1",
        user_id,
        role,
    )


async def other_admins(conn: Connection, user_id: UserId) -> int:
    """Count the admins who could act in this one's place, locked so that two do not leave at once."""
    rows = await conn.fetch(
        "SELECT id FROM users WHERE role = 'admin' AND status = 'active' ORDER BY id FOR UPDATE"
    )
    return sum(1 for row in rows if row["id"] != user_id)


async def find(conn: Connection, wanted: UserFilter, *, before: UUID | None, limit: int) -> list[User]:
    """Return accounts, newest first; words are looked for in name and e-mail, spelling folded."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM users WHERE ($1::text IS NULL"
        " OR search_fold(name || ' ' || email::text) LIKE '%' || like_literal(search_fold($1)) || '%')"
        " AND ($2::text IS NULL OR role = $2) AND ($3::text IS NULL OR status = $3)"
        " AND ($4::uuid IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
        wanted.words,
        wanted.role,
        wanted.status,
        before,
        limit,
    )
    return [_user(row) for row in rows]
