"""What people say of themselves, and the devices they are signed in on."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID
from zoneinfo import available_timezones

import nh3

from liveserver.errors import BadCredentials, Invalid, NotFound, TooMany
from liveserver.models.accounts import DeviceLogin, InstructorProfile, Login, User
from liveserver.models.ids import FamilyId, UploadId
from liveserver.services import passwords
from liveserver.services.accounts import tell_ended
from liveserver.services.passwords import PasswordHashing
from liveserver.services.portraits import Portraits
from liveserver.storage import instructor_profiles, refresh_sessions, users
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.throttle import Throttle

_WRONG_PASSWORDS = 10  # in five minutes, by who is signed in: a stolen session must not guess
_BIO_TAGS = {"p", "br", "b", "strong", "i", "em", "ul", "ol", "li", "a"}


class Profiles:
    def __init__(
        self,
        database: Database,
        hashing: PasswordHashing,
        throttle: Throttle,
        portraits: Portraits,
        bus: Bus,
    ) -> None:
        self._database = database
        self._hashing = hashing
        self._throttle = throttle
        self._portraits = portraits
        self._bus = bus

    async def change(
        self,
        login: Login,
        *,
        name: str | None,
        locale: str | None,
        timezone: str | None,
        avatar: UploadId | Literal[""] | None,
        password: str | None,
        current_password: str | None,
    ) -> User:
        """Change what is given. A new password needs the present one and ends every other login.

        `avatar` is an upload of one's own for that purpose, empty for none from now on.
        Raises BadCredentials, TooMany, Invalid.
        """
        user = login.user
        if timezone is not None and timezone not in available_timezones():
            raise Invalid(("timezone", "unknown_timezone"))
        known = password_hash = None
        if password is not None:
            if current_password is None:
                raise Invalid(("currentPassword", "required"))
            passwords.check(password, name=name or user.name, email=user.email)
            known = await self._prove(user, current_password)
            password_hash = await self._hashing.hash(password)
        ended: list[FamilyId] = []
        async with self._database.transaction() as conn:
            before = await users.lock(conn, user.id) or user
            if known is not None and known != await users.password_hash_of(conn, user.id):
                raise BadCredentials  # it was changed while this one was looked at
            key = None if avatar is None else ""
            if avatar:
                key = await self._portraits.chosen(conn, user, avatar)
            await users.update(conn, user.id, name=name, locale=locale, timezone=timezone, avatar_key=key)
            if password_hash is not None:
                await users.set_password_hash(conn, user.id, password_hash)
                ended = await refresh_sessions.revoke_of_user(
                    conn, user.id, "password_changed", but=login.family
                )
            changed = await _known(conn, user)
        await tell_ended(self._bus, user.id, ended)
        if before.avatar_key is not None and changed.avatar_key != before.avatar_key:
            await self._portraits.forget(before.avatar_key)
        return changed

    async def _prove(self, user: User, password: str) -> str:
        """Return the hash that the present password has."""
        wait = await self._throttle.hit("password", str(user.id), limit=_WRONG_PASSWORDS, minutes=5)
        if wait:
            raise TooMany(retryAfter=wait)
        async with self._database.connection() as conn:
            known = await users.password_hash_of(conn, user.id)
        if not await self._hashing.verify(known, password):
            raise BadCredentials
        await self._throttle.take_back("password", str(user.id))
        return known

    async def instructor(self, user: User) -> InstructorProfile:
        async with self._database.connection() as conn:
            return await instructor_profiles.of_user(conn, user)

    async def change_instructor(
        self, user: User, *, headline: str | None, bio: str | None, links: Sequence[str] | None
    ) -> InstructorProfile:
        """Change what is given; of HTML in the bio only plain formatting is kept."""
        clean = nh3.clean(bio, tags=_BIO_TAGS, url_schemes={"http", "https"}) if bio is not None else None
        async with self._database.transaction() as conn:
            await instructor_profiles.put(conn, user, headline=headline, bio=clean, links=links)
            return await instructor_profiles.of_user(conn, user)

    # Devices

    async def logins(self, user: User, *, before: UUID | None, limit: int) -> list[DeviceLogin]:
        async with self._database.connection() as conn:
            return await refresh_sessions.of_user(conn, user.id, before=before, limit=limit)

    async def end_login(self, user: User, family: UUID) -> None:
        """Sign one device out, its sockets too. Raises NotFound for somebody else's."""
        async with self._database.transaction() as conn:
            ended = await refresh_sessions.revoke_of_user(
                conn, user.id, "ended_by_owner", only=FamilyId(family)
            )
        if not ended:
            raise NotFound
        await tell_ended(self._bus, user.id, ended)

    async def end_all(self, user: User) -> None:
        """Sign every device out, this one too."""
        async with self._database.transaction() as conn:
            ended = await refresh_sessions.revoke_of_user(conn, user.id, "logout_all")
        await tell_ended(self._bus, user.id, ended)


async def _known(conn: Connection, user: User) -> User:
    found = await users.by_id(conn, user.id)
    if found is None:
        raise NotFound
    return found
