"""Keys for programs that bring or play a class's media: for one class and person, until it is over."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from liveserver.errors import SessionCancelled, SessionEnded, TokenInvalid
from liveserver.models.accounts import Login
from liveserver.models.ids import LiveSessionId
from liveserver.models.live_sessions import Provider, SessionStatus
from liveserver.services.accounts import Accounts
from liveserver.services.class_access import enterable
from liveserver.services.tokens import TokenSigner
from liveserver.storage.postgres import Database

_AFTER_THE_END = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaKey:
    """`brings` says whether its holder may send, and not only watch."""

    key: str
    expires_at: datetime
    brings: bool


class MediaKeys:
    def __init__(self, database: Database, accounts: Accounts, signer: TokenSigner, *, address: str) -> None:
        self.address = address
        self._database = database
        self._accounts = accounts
        self._signer = signer

    async def issue(self, login: Login, session_id: LiveSessionId) -> MediaKey:
        """Make a key of this login's for a class that is to come or runs; a logout ends the key, too.

        Raises what entering the class raises, SessionEnded, SessionCancelled.
        """
        async with self._database.connection() as conn:
            session = await enterable(conn, login.user, session_id)
        if session.status in {SessionStatus.ENDED, SessionStatus.ENDING}:
            raise SessionEnded
        if session.status is SessionStatus.CANCELLED or session.provider is Provider.LINK:
            raise SessionCancelled(reason=session.cancel_reason or "link")
        now = datetime.now(UTC)
        expires_at = max(session.ends_at, now) + _AFTER_THE_END
        key = self._signer.media_key(
            login.user.id, login.family, session_id, int((expires_at - now).total_seconds())
        )
        return MediaKey(key=key, expires_at=expires_at, brings=login.user.id in session.staff)

    async def open(self, key: str, session_id: LiveSessionId) -> Login:
        """Return whose a key of this class is. Raises TokenExpired, TokenInvalid, AccountDisabled."""
        user, family, session = await self._signer.read_media_key(key)
        if session != session_id:
            raise TokenInvalid
        return await self._accounts.check_login(user, family)
