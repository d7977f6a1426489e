"""Who somebody is: registering, logging in, staying logged in, logging out."""

import asyncio
import hashlib
import ipaddress
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag

from liveserver.errors import (
    AccountDisabled,
    BadCredentials,
    EmailTaken,
    EmailUnverified,
    RefreshInvalid,
    RefreshReuse,
    RegistrationClosed,
    TokenInvalid,
    TooMany,
)
from liveserver.models.accounts import AccountStatus, Login, Role, Tokens, User
from liveserver.models.ids import FamilyId, UserId
from liveserver.services import passwords
from liveserver.services.passwords import PasswordHashing
from liveserver.services.platform import Platform
from liveserver.services.sealing import seal, unseal
from liveserver.services.tokens import TokenSigner
from liveserver.storage import refresh_sessions, users
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.refresh_sessions import RefreshToken
from liveserver.storage.throttle import Throttle

_FAILED_LOGINS_GLOBAL = 1000  # in five minutes, from everywhere
_FAILED_LOGINS_ADDRESS = 600  # of one address, which may be a school's, but must not shut everybody out
_LETTERS_PER_HOUR = 5  # to one address, of who registers with it
_TAKEN_PER_HOUR = 50  # of one address, which may be a school's
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What settings say about logins; days, seconds and minutes as named."""

    idle: timedelta
    absolute: timedelta
    grace: timedelta
    failed_logins: int
    failed_login_minutes: int
    registrations_per_minute: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a request comes from."""

    address: str
    user_agent: str

    @property
    def network(self) -> str:
        """What is counted as one place: an IPv4 address, or the 64 bits that name an IPv6 subscriber."""
        try:
            ip = ipaddress.ip_address(self.address.partition("%")[0])
        except ValueError:
            return self.address
        if ip.version == 4:
            return str(ip)
        mapped = ip.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((ip, 64), strict=False))


class Letters(Protocol):
    """What is sent to who registers; the mailing's."""

    async def send_link(self, conn: Connection, user: User, purpose: str) -> None: ...
    async def send_known(self, conn: Connection, user: User) -> None: ...


class Accounts:
    def __init__(
        self,
        database: Database,
        signer: TokenSigner,
        hashing: PasswordHashing,
        throttle: Throttle,
        bus: Bus,
        platform: Platform,
        letters: Letters,
        limits: Limits,
    ) -> None:
        self._database = database
        self._signer = signer
        self._hashing = hashing
        self._throttle = throttle
        self._bus = bus
        self._platform = platform
        self._letters = letters
        self._limits = limits

    async def register(
        self, device: Device, *, name: str, email: str, password: str, role: Role, locale: str
    ) -> Tokens | None:
        """Make an account and log it in. Raises EmailTaken, RegistrationClosed, TooMany, Invalid.

        With the setting verifyEmail the answer is None, whether the e-mail is known or not: its owner gets
        a mail.
        """
        settings = self._platform.current
        if not settings.registration_open:
            raise RegistrationClosed
        passwords.check(password, name=name, email=email)
        wait = await self._throttle.hit(
            "register", device.network, limit=self._limits.registrations_per_minute, minutes=1
        )
        if wait:
            raise TooMany(retryAfter=wait)
        pending = role is Role.INSTRUCTOR and settings.instructor_approval
        password_hash = await self._hashing.hash(password)
        async with self._database.transaction() as conn:
            user = await users.insert(
                conn,
                name=name,
                email=email,
                password_hash=password_hash,
                role=role,
                status=AccountStatus.PENDING if pending else AccountStatus.ACTIVE,
                locale=locale,
                timezone="UTC",
                awaits_confirmation=settings.verify_email,
            )
            if settings.verify_email:
                # Who is asked too often to be written to gets no mail; nobody learns of either.
                if not await self._throttle.hit(
                    "letters", email.casefold(), limit=_LETTERS_PER_HOUR, minutes=60
                ):
                    await self._write_to(conn, user, email)
                return None
            if user is not None:
                return await self._open_login(conn, user, device)
        wait = await self._throttle.hit("taken", device.network, limit=_TAKEN_PER_HOUR, minutes=60)
        raise TooMany(retryAfter=wait) if wait else EmailTaken

    async def _write_to(self, conn: Connection, user: User | None, email: str) -> None:
        if user is not None:
            await self._letters.send_link(conn, user, "confirm")
            return
        known = await users.by_email(conn, email)
        if known is not None:
            await self._letters.send_known(conn, known[0])

    async def log_in(self, device: Device, *, email: str, password: str) -> Tokens:
        """Log in. One answer for an unknown e-mail and a wrong password, in the same time."""
        counters = (
            ("login", email.casefold(), device.network),
            ("login-address", device.network),
            ("login-all",),
        )
        # Counted before the hash, so that a burst of guesses is a burst of counts; a login takes its
        # own back.
        limits = (
            (self._limits.failed_logins, self._limits.failed_login_minutes),
            (_FAILED_LOGINS_ADDRESS, 5),
            (_FAILED_LOGINS_GLOBAL, 5),
        )
        for counter, (limit, minutes) in zip(counters, limits, strict=True):
            # The narrowest refuses first: who is refused there must not use up what everybody shares.
            wait = await self._throttle.hit(*counter, limit=limit, minutes=minutes)
            if wait:
                raise TooMany(retryAfter=wait)
        try:
            user, known = await self._verified(email, password)
        except BadCredentials:
            raise
        except BaseException:  # no answer was given, so nobody has failed
            await self._uncount(counters)
            raise
        await self._uncount(counters)
        if user.is_disabled:
            raise AccountDisabled
        if self._platform.current.verify_email and user.awaits_confirmation:
            raise EmailUnverified
        newer = await self._hashing.hash(password) if self._hashing.needs_rehash(known) else None
        async with self._database.transaction() as conn:
            await users.lock(conn, user.id)
            kept = await users.password_hash_of(conn, user.id)
            if kept == known and newer is not None:
                await users.set_password_hash(conn, user.id, newer)
            elif kept != known and not await self._hashing.verify(kept, password):
                raise BadCredentials  # it was changed while this one was looked at
            return await self._open_login(conn, user, device)

    async def _verified(self, email: str, password: str) -> tuple[User, str]:
        async with self._database.connection() as conn:
            found = await users.by_email(conn, email)
        if not await self._hashing.verify(found[1] if found else None, password) or found is None:
            raise BadCredentials
        return found

    async def _uncount(self, counters: Sequence[tuple[str, ...]]) -> None:
        await asyncio.gather(*(self._throttle.take_back(*counter) for counter in counters))

    async def refresh(self, token: str) -> Tokens:
        """Trade a refresh token for the next. Its reuse ends the login it came from."""
        async with self._database.transaction() as conn:
            outcome = await self._rotate(conn, token)
        if isinstance(outcome, Tokens):
            return outcome
        # Raised outside the transaction, so that the family's revocation is kept.
        _log.warning("auth.refresh_reuse", family=str(outcome.family_id))
        await tell_ended(self._bus, outcome.user_id, [outcome.family_id])
        raise RefreshReuse

    async def _rotate(self, conn: Connection, token: str) -> Tokens | RefreshToken:
        digest = _digest(token)
        row = await refresh_sessions.lock_token(conn, digest)
        now = datetime.now(UTC)
        if row is None or row.family_revoked_at or now >= min(row.expires_at, row.family_expires_at):
            raise RefreshInvalid
        user = await users.by_id(conn, row.user_id)
        if user is None or user.is_disabled:
            raise RefreshInvalid
        if row.used_at is None:
            return await self._next_token(conn, user, row.family_id, row.family_expires_at, token)
        in_grace = now - row.used_at <= self._limits.grace
        if in_grace and row.child_used_at is None and row.child_sealed:
            try:
                child = unseal(token.encode(), b"successor", row.child_sealed).decode()
            except InvalidTag as error:
                raise RefreshInvalid from error
            expires = min(now + self._limits.idle, row.family_expires_at)
            return self._tokens(user, row.family_id, child, expires)
        await refresh_sessions.revoke_family(conn, row.family_id, "refresh_reuse")
        return row

    async def _next_token(
        self, conn: Connection, user: User, family: FamilyId, family_expires: datetime, token: str
    ) -> Tokens:
        child = secrets.token_urlsafe(32)
        expires = min(datetime.now(UTC) + self._limits.idle, family_expires)
        await refresh_sessions.add_token(conn, _digest(child), family, expires)
        sealed = seal(token.encode(), b"successor", child.encode())
        await refresh_sessions.rotate(conn, _digest(token), _digest(child), sealed)
        return self._tokens(user, family, child, expires)

    async def log_out(self, token: str | None, access_token: str | None) -> None:
        """End the login of a refresh token or of an access token; doing it again changes nothing."""
        family: FamilyId | None = None
        if token is None and access_token is not None:
            family = (await self._signer.read_access(access_token)).family
        async with self._database.transaction() as conn:
            if token is not None:
                family = await refresh_sessions.family_of(conn, _digest(token))
            if family is None:
                return
            owner = await refresh_sessions.revoke_family(conn, family, "logout")
        if owner is not None:
            await tell_ended(self._bus, owner, [family])

    async def authenticate(
        self, access_token: str, admit: Callable[[UserId], None] = lambda _user: None
    ) -> Login:
        """Say who holds an access token; of whom `admit` refuses, by raising, nothing else is asked.

        Raises TokenExpired, TokenInvalid, AccountDisabled.
        """
        claims = await self._signer.read_access(access_token)
        admit(UserId(claims.user_id))
        return await self.check_login(claims.user_id, claims.family, claims.version)

    async def check_login(self, user_id: UUID, family: UUID, version: int | None = None) -> Login:
        """Say whether a login still counts: not logged out, not outdated, account enabled."""
        async with self._database.connection() as conn:
            state = await users.login_state(conn, UserId(user_id), family)
        if state is None:
            raise TokenInvalid
        user, revoked_at = state
        if user.is_disabled:
            raise AccountDisabled
        if revoked_at is not None or (version is not None and version != user.token_version):
            raise TokenInvalid
        return Login(user=user, family=FamilyId(family))

    async def ended_among(self, families: Sequence[FamilyId]) -> set[FamilyId]:
        """Say which logins count no more; a process asks for those of its sockets."""
        async with self._database.connection() as conn:
            return await refresh_sessions.ended_among(conn, list(families))

    async def _open_login(self, conn: Connection, user: User, device: Device) -> Tokens:
        now = datetime.now(UTC)
        absolute = now + self._limits.absolute
        family = await refresh_sessions.open_family(
            conn,
            user.id,
            user_agent=device.user_agent,
            address=device.address,
            expires_at=absolute,
        )
        token = secrets.token_urlsafe(32)
        expires = min(now + self._limits.idle, absolute)
        await refresh_sessions.add_token(conn, _digest(token), family, expires)
        return self._tokens(user, family, token, expires)

    def _tokens(self, user: User, family: FamilyId, refresh: str, expires: datetime) -> Tokens:
        return Tokens(
            user=user,
            access=self._signer.access(user, family),
            expires_in=self._signer.access_seconds,
            refresh=refresh,
            refresh_expires_at=expires,
        )


async def tell_ended(bus: Bus, user_id: UserId, families: Sequence[FamilyId]) -> None:
    """Tell every process that logins count no more: their sockets close, their seats are freed."""
    for family in families:
        await bus.publish("login.revoked", user=str(user_id), family=str(family))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
