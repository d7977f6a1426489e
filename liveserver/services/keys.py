"""The keys our tokens are signed with, and their change while every process works on.

A new key is published long before it signs, so that every process knows it by then; an old one verifies
until the last token it signed has run out.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from liveserver.models.ids import uuid7
from liveserver.services.sealing import seal, unseal
from liveserver.storage import signing_keys
from liveserver.storage.postgres import Database

_PURPOSE = b"signing-key"
_SECONDS_BETWEEN_READS = 60.0
_SECONDS_AHEAD = 600.0
_SECONDS_LIVED = 12 * 3600 + 60.0  # a playback's token is the longest
_SECONDS_TO_READ_AGAIN = 1.0  # for a name nobody knows, which anybody may send
_log = structlog.get_logger()


class KeysUnreadable(Exception):
    """The signing keys cannot be read: the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key; `active_from` is when it begins to sign."""

    kid: str
    private: Ed25519PrivateKey
    active_from: datetime


class SigningKeys:
    """Holds the keys of PostgreSQL or of auth.keys_dir; the newest that is active signs, all verify."""

    def __init__(
        self,
        database: Database,
        *,
        secret: str,
        directory: str,
        rotate_after: timedelta | None = None,
        read_seconds: float = _SECONDS_BETWEEN_READS,
        ahead_seconds: float = _SECONDS_AHEAD,
        lived_seconds: float = _SECONDS_LIVED,
    ) -> None:
        self._database = database
        self._secret = secret.encode()
        self._directory = Path(directory) if directory else None
        self._rotate_after = rotate_after
        self._read_seconds = read_seconds
        self._ahead = timedelta(seconds=ahead_seconds)
        self._lived = timedelta(seconds=lived_seconds)
        self._keys: dict[str, SigningKey] = {}
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def load(self) -> None:
        """Read the keys, making the first one if there is none. Raises KeysUnreadable."""
        keys = self._from_directory() if self._directory else await self._from_database()
        if not keys:
            raise KeysUnreadable("there is no signing key")
        self._keys = {key.kid: key for key in keys}
        self._read_at = time.monotonic()

    async def run(self) -> None:
        """Read the keys again every minute, and make a new one when the newest is old."""
        while True:
            await asyncio.sleep(self._read_seconds)
            try:
                await self.load()
                if self._rotate_after is not None and self._directory is None:
                    await self._rotate_when_due(datetime.now(UTC) - self._rotate_after)
            except Exception:
                _log.exception("keys.not_read")  # those at hand go on

    def signing(self) -> SigningKey:
        """Return the key to sign with now."""
        now = datetime.now(UTC)
        active = [key for key in self._keys.values() if key.active_from <= now]
        return max(active or self._keys.values(), key=lambda key: key.active_from)

    def __contains__(self, kid: str) -> bool:
        return kid in self._keys

    async def find(self, kid: str) -> SigningKey | None:
        """Return the key of that name; one nobody knows may be new, so look again, but rarely."""
        if kid not in self._keys:
            async with self._reading:
                if time.monotonic() - self._read_at > _SECONDS_TO_READ_AGAIN:
                    await self.load()
        return self._keys.get(kid)

    async def _rotate_when_due(self, oldest: datetime) -> None:
        if max(key.active_from for key in self._keys.values()) < oldest:
            await self.rotate(unless_newer_than=oldest)  # another process may have by now

    async def rotate(self, *, at_once: bool = False, unless_newer_than: datetime | None = None) -> None:
        """Publish a new key in PostgreSQL, unless there is one newer than said.

        With `at_once` it signs now and every other key is void: whatever they signed is refused when a
        process has read the keys again, within a minute.
        """
        kid, private = uuid7().hex, Ed25519PrivateKey.generate()
        now = datetime.now(UTC)
        active_from = now if at_once else now + self._ahead
        async with self._database.transaction() as conn:
            await signing_keys.lock(conn)
            known = await signing_keys.usable(conn)
            if unless_newer_than and any(key.active_from > unless_newer_than for key in known):
                return
            await signing_keys.retire(conn, now if at_once else active_from + self._lived)
            sealed = seal(self._secret, _PURPOSE, private.private_bytes_raw())
            await signing_keys.insert(conn, kid, sealed, active_from)
        await self.load()
        _log.info("keys.rotated", kid=kid, active_from=active_from.isoformat())

    def _from_directory(self) -> Sequence[SigningKey]:
        """Read <kid>.pem files. One that is new there signs once every process has had time to read it."""
        assert self._directory is not None  # noqa: S101 - the caller's condition
        keys = []
        for path in self._directory.glob("*.pem"):
            private = serialization.load_pem_private_key(path.read_bytes(), None)
            if not isinstance(private, Ed25519PrivateKey):
                raise KeysUnreadable(f"{path.name} is not an Ed25519 private key")
            laid = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            keys.append(SigningKey(path.stem, private, laid + self._ahead))
        return keys

    async def _from_database(self) -> Sequence[SigningKey]:
        async with self._database.connection() as conn:
            rows = await signing_keys.usable(conn)
        if not rows:
            async with self._database.transaction() as conn:
                await signing_keys.lock(conn)  # of several processes that start at once, one makes it
                if not await signing_keys.usable(conn):
                    fresh = Ed25519PrivateKey.generate().private_bytes_raw()
                    sealed = seal(self._secret, _PURPOSE, fresh)
                    await signing_keys.insert(conn, uuid7().hex, sealed, datetime.now(UTC))
                rows = await signing_keys.usable(conn)
        return [SigningKey(row.kid, self._opened(row.private_sealed), row.active_from) for row in rows]

    def _opened(self, sealed: bytes) -> Ed25519PrivateKey:
        try:
            return Ed25519PrivateKey.from_private_bytes(unseal(self._secret, _PURPOSE, sealed))
        except InvalidTag as error:
            raise KeysUnreadable(
                "auth.secret does not open the signing keys in PostgreSQL; restore the secret"
            ) from error
