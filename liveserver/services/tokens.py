"""Signing and checking our JSON web tokens: EdDSA only, the key chosen by `kid` from our own keys."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from liveserver.errors import TokenExpired, TokenInvalid
from liveserver.models.accounts import User
from liveserver.models.ids import FamilyId, LiveSessionId, PlaybackId, UserId, uuid7
from liveserver.models.live_sessions import Ticket
from liveserver.services.keys import SigningKeys

ISSUER = "liveserver"
_ACCESS, _TICKET, _PLAYBACK, _MEDIA = "at+jwt", "rtc+jwt", "hls+jwt", "whip+jwt"
_LEEWAY = 5
_LONGEST = 4096
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_CHECKED = 20_000


@dataclass(frozen=True, slots=True)
class AccessClaims:
    user_id: UserId
    family: FamilyId
    version: int
    expires_at: int
    kid: str


class TokenSigner:
    """Signs with the key that is active, checks with any that still counts."""

    def __init__(self, keys: SigningKeys, *, access_seconds: int) -> None:
        self._keys = keys
        self.access_seconds = access_seconds
        self._checked: dict[str, AccessClaims] = {}

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

    def media_key(self, user_id: UserId, family: FamilyId, session_id: LiveSessionId, seconds: int) -> str:
        """Sign what a program shows to bring or play one class's media."""
        claims = {"sub": str(user_id), "sid": str(family), "ls": str(session_id)}
        return self._sign(_MEDIA, seconds, claims)

    async def read_media_key(self, token: str) -> tuple[UserId, FamilyId, LiveSessionId]:
        claims, _ = await self._verify(token, _MEDIA)
        try:
            return (
                UserId(UUID(claims["sub"])),
                FamilyId(UUID(claims["sid"])),
                LiveSessionId(UUID(claims["ls"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TokenInvalid from error

    async def read_playback(self, token: str) -> PlaybackId:
        claims, _ = await self._verify(token, _PLAYBACK)
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
        key = self._keys.signing()
        return jwt.encode(body, key.private, "EdDSA", {"typ": kind, "kid": key.kid})

    async def read_access(self, token: str) -> AccessClaims:
        """Check an access token. Raises TokenExpired or TokenInvalid.

        A signature that was checked once is not checked again while the token lives: it costs a quarter of a
        status poll. What the token still counts for is asked of PostgreSQL each time.
        """
        known = self._checked.get(token)
        if known is not None and known.expires_at + _LEEWAY > time.time() and known.kid in self._keys:
            return known
        claims, kid = await self._verify(token, _ACCESS)
        try:
            checked = AccessClaims(
                UserId(UUID(claims["sub"])),
                FamilyId(UUID(claims["sid"])),
                int(claims["ver"]),
                int(claims["exp"]),
                kid,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TokenInvalid from error
        if len(self._checked) >= _MOST_CHECKED:
            self._checked.clear()
        self._checked[token] = checked
        return checked

    async def read_ticket(self, token: str) -> tuple[Ticket, str, int]:
        """Check a classroom ticket; return it with its jti and its remaining seconds."""
        claims, _ = await self._verify(token, _TICKET)
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

    async def _verify(self, token: str, kind: str) -> tuple[dict[str, Any], str]:
        """Return the claims and the name of the key. Raises TokenExpired or TokenInvalid."""
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
        key = await self._keys.find(kid)
        if key is None:
            raise TokenInvalid
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.private.public_key(),
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
        return claims, kid
