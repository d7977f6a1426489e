"""Signing and checking our JSON web tokens: EdDSA only, the key chosen by `kid` from our own keys."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from liveserver.errors import TokenExpired, TokenInvalid
from liveserver.models.accounts import User
from liveserver.models.ids import FamilyId, LiveSessionId, PlaybackId, UserId, uuid7
from liveserver.models.live_sessions import Ticket
from liveserver.storage import signing_keys
from liveserver.storage.postgres import Database

ISSUER = "liveserver"
_ACCESS, _TICKET, _PLAYBACK = "at+jwt", "rtc+jwt", "hls+jwt"
_LEEWAY = 5
_LONGEST = 4096
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RELOAD_SECONDS = 10.0
_MOST_CHECKED = 20_000


class KeysUnreadable(Exception):
    """The signing keys cannot be opened with this auth.secret."""


def seal(secret: bytes, purpose: bytes, plain: bytes) -> bytes:
    """Encrypt with a key derived from `secret` for one purpose (AES-256-GCM, HKDF-SHA256)."""
    nonce = uuid7().bytes[4:]
    return nonce + AESGCM(_derive(secret, purpose)).encrypt(nonce, plain, None)


def unseal(secret: bytes, purpose: bytes, sealed: bytes) -> bytes:
    """Undo `seal`. Raises InvalidTag when the secret is another one."""
    return AESGCM(_derive(secret, purpose)).decrypt(sealed[:12], sealed[12:], None)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(secret)


@dataclass(frozen=True, slots=True)
class AccessClaims:
    user_id: UserId
    family: FamilyId
    version: int
    expires_at: int


class TokenSigner:
    """Holds the Ed25519 keys of PostgreSQL or of auth.keys_dir; the newest signs, all verify."""

    def __init__(self, database: Database, *, secret: str, keys_dir: str, access_seconds: int) -> None:
        self._database = database
        self._secret = secret.encode()
        self._keys_dir = Path(keys_dir) if keys_dir else None
        self.access_seconds = access_seconds
        self._keys: dict[str, Ed25519PrivateKey] = {}
        self._active = ""
        self._checked: dict[str, AccessClaims] = {}
        self._loaded_at = 0.0
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Read the keys, making the first one if there is none. Raises KeysUnreadable."""
        keys = self._from_directory() if self._keys_dir else await self._from_database()
        if not keys:
            raise KeysUnreadable("there is no signing key")
        self._keys = keys
        self._checked.clear()
        self._active = next(iter(keys))
        self._loaded_at = time.monotonic()

    def _from_directory(self) -> dict[str, Ed25519PrivateKey]:
        """Read <kid>.pem files; the name that sorts last signs."""
        assert self._keys_dir is not None  # noqa: S101 - the caller's condition
        keys = {}
        for path in sorted(self._keys_dir.glob("*.pem"), reverse=True):
            key = serialization.load_pem_private_key(path.read_bytes(), None)
            if not isinstance(key, Ed25519PrivateKey):
                raise KeysUnreadable(f"{path.name} is not an Ed25519 private key")
            keys[path.stem] = key
        return keys

    async def _from_database(self) -> dict[str, Ed25519PrivateKey]:
        async with self._database.transaction() as conn:
            rows = await signing_keys.usable(conn)
            if not rows:
                fresh = Ed25519PrivateKey.generate().private_bytes_raw()
                sealed = seal(self._secret, b"signing-key", fresh)
                await signing_keys.insert_first(conn, uuid7().hex, sealed)
                rows = await signing_keys.usable(conn)
        keys = {}
        for row in rows:
            try:
                raw = unseal(self._secret, b"signing-key", row.private_sealed)
            except InvalidTag as error:
                raise KeysUnreadable(
                    "auth.secret does not open the signing keys in PostgreSQL; restore the secret"
                ) from error
            keys[row.kid] = Ed25519PrivateKey.from_private_bytes(raw)
        return keys

    def access(self, user: User, family: FamilyId) -> str:
        return self._sign(
            _ACCESS,
            self.access_seconds,
            {"sub": str(user.id), "sid": str(family), "ver": user.token_version, "role": user.role},
        )

    def ticket(self, ticket: Ticket, seconds: int) -> str:
        return self._sign(
            _TICKET,
            seconds,
            {
                "sub": str(ticket.user_id),
                "ls": str(ticket.session_id),
                "sid": ticket.family,
                "ep": ticket.epoch,
                "staff": ticket.is_staff,
            },
        )

    def playback(self, playback: PlaybackId, watermark: str, seconds: int) -> str:
        """Sign what a player carries in its addresses; the watermark's text is part of it."""
        return self._sign(_PLAYBACK, seconds, {"sub": str(playback), "wm": watermark})

    async def read_playback(self, token: str) -> PlaybackId:
        claims = await self._verify(token, _PLAYBACK)
        try:
            return PlaybackId(UUID(claims["sub"]))
        except (KeyError, TypeError, ValueError) as error:
            raise TokenInvalid from error

    def _sign(self, kind: str, seconds: int, claims: Mapping[str, Any]) -> str:
        now = int(time.time())
        body = {
            "iss": ISSUER,
            "aud": kind,
            "jti": uuid7().hex,
            "iat": now,
            "exp": now + seconds,
            **claims,
        }
        return jwt.encode(body, self._keys[self._active], "EdDSA", {"typ": kind, "kid": self._active})

    async def read_access(self, token: str) -> AccessClaims:
        """Check an access token. Raises TokenExpired or TokenInvalid.

        A signature that was checked once is not checked again while the token lives: it costs a quarter of a
        status poll. What the token still counts for is asked of PostgreSQL each time.
        """
        known = self._checked.get(token)
        if known is not None and known.expires_at + _LEEWAY > time.time():
            return known
        claims = await self._verify(token, _ACCESS)
        try:
            checked = AccessClaims(
                UserId(UUID(claims["sub"])),
                FamilyId(UUID(claims["sid"])),
                int(claims["ver"]),
                int(claims["exp"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TokenInvalid from error
        if len(self._checked) >= _MOST_CHECKED:
            self._checked.clear()
        self._checked[token] = checked
        return checked

    async def read_ticket(self, token: str) -> tuple[Ticket, str, int]:
        """Check a classroom ticket; return it with its jti and its remaining seconds."""
        claims = await self._verify(token, _TICKET)
        try:
            ticket = Ticket(
                user_id=UserId(UUID(claims["sub"])),
                session_id=LiveSessionId(UUID(claims["ls"])),
                family=str(UUID(claims["sid"])),
                epoch=int(claims["ep"]),
                is_staff=claims["staff"] is True,
            )
            return ticket, str(claims["jti"]), max(1, int(claims["exp"]) - int(time.time()) + 10)
        except (KeyError, TypeError, ValueError) as error:
            raise TokenInvalid from error

    async def _verify(self, token: str, kind: str) -> dict[str, Any]:
        if len(token) > _LONGEST:
            raise TokenInvalid
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenInvalid from error
        kid = header.get("kid")
        if set(header) - {"typ", "kid", "alg"} or header.get("typ") != kind:
            raise TokenInvalid
        if not isinstance(kid, str) or not _KID.fullmatch(kid):
            raise TokenInvalid
        key = await self._key(kid)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public_key(),
                algorithms=["EdDSA"],
                audience=kind,
                issuer=ISSUER,
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "sub", "jti"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired from error
        except (jwt.PyJWTError, ValueError, OverflowError, TypeError, RecursionError) as error:
            raise TokenInvalid from error
        return claims

    async def _key(self, kid: str) -> Ed25519PrivateKey:
        """Return our key of that name; an unknown one may be new, so look again, but rarely."""
        if kid not in self._keys:
            async with self._loading:
                if time.monotonic() - self._loaded_at > _RELOAD_SECONDS:
                    await self.load()
        if kid not in self._keys:
            raise TokenInvalid
        return self._keys[kid]
