"""Table users."""

from datetime import datetime

import asyncpg

from liveserver.models.accounts import AccountStatus, Role, User
from liveserver.models.ids import UserId, uuid7
from liveserver.storage.postgres import Connection

_COLUMNS = "id, name, email, role, status, locale, timezone, token_version, created_at"


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
) -> User | None:
    """Return the new user, or None when the e-mail is taken."""
    row = await conn.fetchrow(
        "INSERT INTO users (id, name, email, password_hash, role, status, locale, timezone)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (email) DO NOTHING"
        f" RETURNING {_COLUMNS}",
        uuid7(),
        name,
        email,
        password_hash,
        role,
        status,
        locale,
        timezone,
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


async def names(conn: Connection, user_ids: list[UserId]) -> dict[UserId, str]:
    rows = await conn.fetch("SELECT id, name FROM users WHERE id = ANY($1)", user_ids)
    return {row["id"]: row["name"] for row in rows}


async def login_state(
    conn: Connection, user_id: UserId, family: object
) -> tuple[User, datetime | None] | None:
    """Return the user and when the login was revoked; None when either is unknown."""
    row = await conn.fetchrow(
        "SELECT u.id, u.name, u.email, u.role, u.status, u.locale, u.timezone, u.token_version,"
        " u.created_at, f.revoked_at FROM users u JOIN refresh_families f ON f.user_id = u.id"
        " WHERE u.id = $1 AND f.id = $2",
        user_id,
        family,
    )
    return (_user(row), row["revoked_at"]) if row else None
