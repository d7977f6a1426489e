"""What goes out by e-mail: notifications, and an account's one-time links. Without SMTP, nothing does."""

import hashlib
import secrets
from datetime import timedelta
from typing import Protocol

from liveserver.errors import EmailLinkInvalid, MailOff, TooMany
from liveserver.models.accounts import User
from liveserver.services import passwords
from liveserver.services.accounts import Device, tell_ended
from liveserver.services.passwords import PasswordHashing
from liveserver.services.wording import LINKS, words_of
from liveserver.storage import account_tokens, jobs, notifications, refresh_sessions, users
from liveserver.storage.bus import Bus
from liveserver.storage.jobs import Payload
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.throttle import Throttle

SEND, NOTIFY = "mail.send", "mail.notify"
_LIVES = {"reset": timedelta(hours=1), "confirm": timedelta(days=3)}
_PER_HOUR, _PER_HOUR_ADDRESS = 5, 100


class Mailer(Protocol):
    async def send(self, to: str, subject: str, text: str) -> None: ...


class Mailing:
    def __init__(
        self,
        database: Database,
        mailer: Mailer | None,
        hashing: PasswordHashing,
        throttle: Throttle,
        bus: Bus,
        *,
        address: str,
    ) -> None:
        self._database = database
        self._mailer = mailer
        self._hashing = hashing
        self._throttle = throttle
        self._bus = bus
        self._address = address

    # Links of an account

    async def forgot(self, device: Device, email: str) -> None:
        """Send a link to choose a new password, if there is such an account; nobody learns whether.

        Raises MailOff, TooMany.
        """
        if self._mailer is None:
            raise MailOff
        waits = [
            await self._throttle.hit("forgot", email.casefold(), limit=_PER_HOUR, minutes=60),
            await self._throttle.hit("forgot-address", device.network, limit=_PER_HOUR_ADDRESS, minutes=60),
        ]
        if max(waits):
            raise TooMany(retryAfter=max(waits))
        async with self._database.transaction() as conn:
            found = await users.by_email(conn, email)
            if found is not None and not found[0].is_disabled:
                await self.send_link(conn, found[0], "reset")

    async def reset(self, token: str, password: str) -> None:
        """Set a new password by the link's token, and end every login. Raises EmailLinkInvalid, Invalid."""
        async with self._database.connection() as conn:
            owner = await account_tokens.owner(conn, "reset", _digest(token))
            user = await users.by_id(conn, owner) if owner is not None else None
        if user is None:
            raise EmailLinkInvalid
        passwords.check(password, name=user.name, email=user.email)
        password_hash = await self._hashing.hash(password)
        async with self._database.transaction() as conn:
            user_id = await account_tokens.use(conn, "reset", _digest(token))
            if user_id is None:
                raise EmailLinkInvalid
            await users.set_password_hash(conn, user_id, password_hash)
            await users.set_email_verified(conn, user_id)  # the mail arrived
            ended = await refresh_sessions.revoke_of_user(conn, user_id, "password_reset")
        await tell_ended(self._bus, user_id, ended)

    async def confirm(self, token: str) -> None:
        """Note that the account's e-mail is its owner's. Raises EmailLinkInvalid."""
        async with self._database.transaction() as conn:
            user_id = await account_tokens.use(conn, "confirm", _digest(token))
            if user_id is None:
                raise EmailLinkInvalid
            await users.set_email_verified(conn, user_id)

    async def send_link(self, conn: Connection, user: User, purpose: str) -> None:
        """Send a one-time link in the caller's transaction; `purpose` is reset or confirm."""
        token = secrets.token_urlsafe(32)
        await account_tokens.insert(conn, user.id, purpose, _digest(token), _LIVES[purpose])
        subject, text = LINKS[purpose][user.locale]
        link = f"{self._address}/{purpose}#{token}"
        await jobs.enqueue(
            conn,
            SEND,
            {"to": user.email, "subject": subject, "text": text.format(name=user.name, link=link)},
        )

    async def send_known(self, conn: Connection, user: User) -> None:
        """Tell the owner of an account that somebody tried to register with its e-mail."""
        subject, text = LINKS["known"][user.locale]
        body = text.format(name=user.name, link=self._address)
        await jobs.enqueue(conn, SEND, {"to": user.email, "subject": subject, "text": body})

    # Jobs

    async def send(self, payload: Payload) -> None:
        if self._mailer is not None:
            await self._mailer.send(payload["to"], payload["subject"], payload["text"])

    async def notify(self, payload: Payload) -> None:
        """Send a notification to everybody who was told it and was not mailed it yet."""
        if self._mailer is None:
            return
        while True:
            # One at a time: what fails in between costs one mail, and the job goes on with the others.
            async with self._database.transaction() as conn:
                taken = await notifications.take_unmailed(conn, payload["key"])
            if taken is None:
                return
            told, email, locale = taken
            title, body = words_of(told, locale)
            await self._mailer.send(email, title, f"{body}\n\n{self._address}\n")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
