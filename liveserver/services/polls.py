"""The status of a class, asked each second by everybody in it.

Most polls are told nothing new, so what each person was last told is kept here with what it was read from:
the class's row and the ledger's revision, which all who poll share for a quarter of a second. While both
stand, the answer stands, and nobody is asked. A login or an enrolment that ends takes the kept answer
with it by a word on the bus; should the word be lost, the answer lives ten seconds.
"""

import time
from dataclasses import dataclass
from typing import Any

from liveserver.errors import NotFound
from liveserver.models.accounts import Role, User
from liveserver.models.ids import LiveSessionId, UserId
from liveserver.models.live_sessions import LiveSession, SeatFigures
from liveserver.services.class_access import require_readable
from liveserver.services.seats import Seats
from liveserver.services.tokens import TokenSigner
from liveserver.storage import live_sessions
from liveserver.storage.bus import Bus, Happening
from liveserver.storage.postgres import Connection, Database

_SECONDS_SHARED = 0.25
_SECONDS_KEPT = 10.0
_MOST_CLASSES, _MOST_KEPT = 1_000, 50_000
_ABOUT_PERSON = {"login.revoked", "right.ended"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A class and what the ledger says of it and of one person; `generation` is for `keep`."""

    user_id: UserId
    session: LiveSession
    figures: SeatFigures
    generation: int


@dataclass(frozen=True, slots=True)
class _Kept:
    etag: str
    session: LiveSession
    user_id: UserId
    revision: str
    ends_at: float  # wall clock: a token's expiry is


class Polls:
    """Answers who asks how a class stands, and knows without asking that nothing changed."""

    def __init__(self, database: Database, seats: Seats, signer: TokenSigner, bus: Bus) -> None:
        self._database = database
        self._seats = seats
        self._signer = signer
        self._rows: dict[LiveSessionId, tuple[float, LiveSession]] = {}
        self._revisions: dict[LiveSessionId, tuple[float, str]] = {}
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._generation = 0  # of what the bus said: who was read before a word may be judged by an old row
        bus.listen(self._happened)

    async def read(self, user: User, session_id: LiveSessionId) -> Reading:
        """Return how a class stands. Raises NotFound, NotEnrolled, Removed, SeatsUnavailable."""
        generation = self._generation
        async with self._database.connection() as conn:
            session = await self._row(conn, session_id)
            await require_readable(conn, user, session, also=Role.ADMIN)
        asked = time.monotonic()
        figures = await self._seats.figures_of(session, user.id)
        _make_room(self._revisions, _MOST_CLASSES)
        self._revisions[session_id] = asked, figures.revision
        return Reading(user.id, session, figures, generation)

    async def _row(self, conn: Connection, session_id: LiveSessionId) -> LiveSession:
        """Return the class's row; one that is read again and the same stays the same object."""
        at, known = self._rows.get(session_id, (0.0, None))
        now = time.monotonic()
        if known is not None and now - at <= _SECONDS_SHARED:
            return known
        session = await live_sessions.by_id(conn, session_id)
        if session is None:
            raise NotFound
        if session == known:
            session = known
        _make_room(self._rows, _MOST_CLASSES)
        self._rows[session_id] = now, session
        return session

    async def keep(self, token: str, reading: Reading, etag: str) -> None:
        """Keep what the holder of an access token is about to be told."""
        claims = await self._signer.read_access(token)
        if reading.generation != self._generation:
            return
        _make_room(self._kept, _MOST_KEPT)
        self._kept[token, str(reading.session.id)] = _Kept(
            etag=etag,
            session=reading.session,
            user_id=reading.user_id,
            revision=reading.figures.revision,
            ends_at=min(time.time() + _SECONDS_KEPT, claims.expires_at),
        )

    def unchanged(self, token: str, session: str, etags: str) -> str | None:
        """Return the ETag among `etags` that still tells how the class stands, or None: read again."""
        kept = self._kept.get((token, session))
        if kept is None or kept.etag not in etags or kept.ends_at < time.time():
            return None
        oldest = time.monotonic() - _SECONDS_SHARED
        read_at, row = self._rows.get(kept.session.id, (0.0, None))
        asked_at, revision = self._revisions.get(kept.session.id, (0.0, ""))
        if read_at < oldest or asked_at < oldest or row is not kept.session or revision != kept.revision:
            return None
        return kept.etag

    def _happened(self, happening: Happening) -> None:
        if happening["kind"] in _ABOUT_PERSON:
            self._generation += 1
            user = happening.get("user")
            self._kept = {key: one for key, one in self._kept.items() if str(one.user_id) != user}


def _make_room(known: dict[Any, Any], most: int) -> None:
    if len(known) >= most:
        known.clear()
