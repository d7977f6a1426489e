"""The first admin: made by who runs the server, since nobody registers as one."""

import secrets

from liveserver.config import Running
from liveserver.models.accounts import AccountStatus, Role
from liveserver.services.passwords import PasswordHashing
from liveserver.storage import audit, refresh_sessions, users
from liveserver.storage.postgres import Database


async def appoint(running: Running, email: str) -> str | None:
    """Make the account of that e-mail an admin; return the password of one that had to be made."""
    database = await Database.open(running.database_url, 2)
    hashing = PasswordHashing()
    try:
        password = secrets.token_urlsafe(15)
        password_hash = await hashing.hash(password)
        async with database.transaction() as conn:
            made = await users.insert(
                conn,
                name="Admin",
                email=email,
                password_hash=password_hash,
                role=Role.ADMIN,
                status=AccountStatus.ACTIVE,
                locale="en",
                timezone="UTC",
            )
            user = made
            if user is None:
                known = await users.by_email(conn, email)
                assert known is not None  # noqa: S101 - the e-mail was taken
                user = known[0]
                await users.set_role(conn, user.id, Role.ADMIN)
                await users.set_status(conn, user.id, AccountStatus.ACTIVE, None)
                await refresh_sessions.revoke_of_user(conn, user.id, "role_changed")
            await audit.write(conn, None, "admin.appointed", user.id)
        return password if made is not None else None
    finally:
        hashing.close()
        await database.close()
