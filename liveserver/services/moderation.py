"""Keeping order: disabling accounts, roles; everything is audited, and read here."""

from collections.abc import Sequence
from uuid import UUID

from liveserver.errors import Invalid, LastAdmin, NotFound, NotYourself, SessionLive
from liveserver.models.accounts import AccountStatus, AuditEntry, Role, User, UserFilter
from liveserver.models.ids import FamilyId, UserId
from liveserver.services.accounts import tell_ended
from liveserver.services.seats import Seats
from liveserver.storage import audit, courses, live_sessions, refresh_sessions, users
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database


class Moderation:
    def __init__(self, database: Database, seats: Seats, bus: Bus) -> None:
        self._database = database
        self._seats = seats
        self._bus = bus

    async def find(self, wanted: UserFilter, *, before: UUID | None, limit: int) -> list[User]:
        async with self._database.connection() as conn:
            return await users.find(conn, wanted, before=before, limit=limit)

    async def view(self, user_id: UserId) -> User:
        async with self._database.connection() as conn:
            user = await users.by_id(conn, user_id)
        if user is None:
            raise NotFound
        return user

    async def disable(self, admin: User, user_id: UserId, reason: str) -> User:
        """Shut an account out at once: its logins, sockets, seats and media. Again changes nothing.

        Raises NotYourself, LastAdmin.
        """
        async with self._database.transaction() as conn:
            user = await self._other(conn, admin, user_id)
            if user.is_disabled:
                return user
            await users.set_status(conn, user_id, AccountStatus.DISABLED, reason)
            ended = await refresh_sessions.revoke_of_user(conn, user_id, "disabled")
            await audit.write(conn, admin.id, "user.disabled", user_id, reason=reason)
            user = await _known(conn, user_id)
        await self._cut_off(user_id, ended)
        return user

    async def activate(self, admin: User, user_id: UserId) -> User:
        """Let a disabled or pending account in again; its old tokens stay dead."""
        async with self._database.transaction() as conn:
            user = await users.lock(conn, user_id)
            if user is None:
                raise NotFound
            if user.status is not AccountStatus.ACTIVE:
                await users.set_status(conn, user_id, AccountStatus.ACTIVE, None)
                await audit.write(conn, admin.id, "user.activated", user_id, old=user.status)
            return await _known(conn, user_id)

    async def set_role(self, admin: User, user_id: UserId, role: Role, *, reassign_to: UserId | None) -> User:
        """Change what somebody is; they sign in anew.

        The courses of an instructor who is one no more leave the catalogue, or go to `reassign_to`.
        Raises NotYourself, LastAdmin, SessionLive while a class of theirs runs.
        """
        async with self._database.transaction() as conn:
            user = await self._other(conn, admin, user_id)
            if user.role is role:
                return user
            for session in await live_sessions.live_with(conn, user_id):
                if user_id in session.staff:
                    raise SessionLive(sessionId=str(session.id))
            moved = []
            if reassign_to is not None:
                heir = await users.lock(conn, reassign_to)
                if heir is None or heir.role is not Role.INSTRUCTOR or heir.is_disabled or heir.id == user_id:
                    raise Invalid(("reassignTo", "not_an_instructor"))
                moved = await courses.reassign(conn, user_id, reassign_to)
            await courses.end_co_instructing(conn, user_id)
            await users.set_role(conn, user_id, role)
            ended = await refresh_sessions.revoke_of_user(conn, user_id, "role_changed")
            await audit.write(
                conn,
                admin.id,
                "user.role_changed",
                user_id,
                old=user.role,
                new=role,
                reassigned=[str(one) for one in moved],
            )
            user = await _known(conn, user_id)
        await self._cut_off(user_id, ended)
        return user

    async def audit_log(
        self, *, action: str | None, actor: UserId | None, before: UUID | None, limit: int
    ) -> list[AuditEntry]:
        async with self._database.connection() as conn:
            return await audit.find(conn, action=action, actor=actor, before=before, limit=limit)

    async def _other(self, conn: Connection, admin: User, user_id: UserId) -> User:
        """Return somebody else's account, locked, if the school keeps an admin without it."""
        if admin.id == user_id:
            raise NotYourself
        others = await users.other_admins(conn, user_id)
        user = await users.lock(conn, user_id)
        if user is None:
            raise NotFound
        if user.role is Role.ADMIN and not others:
            raise LastAdmin
        return user

    async def _cut_off(self, user_id: UserId, ended: Sequence[FamilyId]) -> None:
        await tell_ended(self._bus, user_id, ended)
        await self._seats.evict(user_id)


async def _known(conn: Connection, user_id: UserId) -> User:
    user = await users.by_id(conn, user_id)
    if user is None:
        raise NotFound
    return user
