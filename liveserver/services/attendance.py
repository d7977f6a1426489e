"""Attendance: the seat ledger's stream folded into PostgreSQL, and the report read from there."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from liveserver.errors import NotFound, SeatsUnavailable
from liveserver.models.accounts import Role, User
from liveserver.models.attendance import AttendanceRow, Interval, row
from liveserver.models.ids import LiveSessionId, UserId
from liveserver.models.live_sessions import LiveSession, Provider, Seat, rank_of
from liveserver.services.class_access import readable
from liveserver.storage import attendance, live_sessions
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Database
from liveserver.storage.presence import Presence
from liveserver.storage.seats import SeatLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    session: LiveSession
    rows: Sequence[AttendanceRow]
    as_of: datetime

    @property
    def is_by_click(self) -> bool:
        """Say whether all that is known is who opened the address of a class held elsewhere."""
        return self.session.provider is Provider.LINK

    @property
    def is_final(self) -> bool:
        return self.session.ended_at is not None


class Attendance:
    def __init__(
        self, database: Database, ledger: SeatLedger, presence: Presence, bus: Bus, *, gap: timedelta
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._presence = presence
        self._bus = bus
        self._gap = gap
        self._draining: dict[LiveSessionId, asyncio.Lock] = {}

    async def drain(self, session_id: LiveSessionId) -> None:
        """Fold what the ledger has said since; exactly one effect whoever calls how often."""
        # A hundred who are seated at once take turns here, and all but the first find nothing to do:
        # they must not each hold a database connection while they wait for the cursor's lock.
        lock = self._draining.setdefault(session_id, asyncio.Lock())
        async with lock:
            pending = await self._ledger.events(session_id)
            if not pending:
                return
            async with self._database.transaction() as conn:
                final = await attendance.lock_cursor(conn, session_id)
                fresh = await attendance.fold(conn, session_id, [] if final else pending)
            await self._ledger.trim(session_id, pending[-1].stream_id)
        for event in fresh:
            if event.event == "expired":  # nobody's deed, so nobody else tells of it
                with contextlib.suppress(SeatsUnavailable):  # the floor and the hand go with the seat
                    await self._presence.clear(session_id, event.user_id)
                await self._bus.publish(
                    "seat.closed",
                    session=str(session_id),
                    user=str(event.user_id),
                    reason="expired",
                    rank=rank_of(event.epoch, event.fence),
                )

    async def holds(self, seat: Seat) -> bool:
        """Say whether PostgreSQL, too, has this person in this slot: the backstop of the seat limit."""
        await self.drain(seat.session_id)
        async with self._database.connection() as conn:
            return await attendance.has_open(conn, seat.session_id, seat.user_id, seat.slot)

    async def seen(self, session_id: LiveSessionId, user_ids: Sequence[UserId]) -> None:
        async with self._database.connection() as conn:
            await attendance.seen(conn, session_id, user_ids, datetime.now(UTC))

    def forget(self, session_id: LiveSessionId) -> None:
        self._draining.pop(session_id, None)

    async def report(self, viewer: User, session_id: LiveSessionId) -> Report:
        """Return a line for every enrolled student, now or for ever after."""
        async with self._database.connection() as conn:
            session = await live_sessions.by_id(conn, session_id, deleted=viewer.role is Role.ADMIN)
            if session is None or not (viewer.role is Role.ADMIN or viewer.id in session.staff):
                raise NotFound
        return await self._report(session)

    async def own(self, student: User, session_id: LiveSessionId) -> Report:
        """Return one's own line. Raises what the class's page raises."""
        async with self._database.connection() as conn:
            session = await readable(conn, student, session_id)
        return await self._report(session, only=student)

    async def _report(self, session: LiveSession, *, only: User | None = None) -> Report:
        if session.ended_at is None and session.started_at is not None:
            # Without the ledger the report is what PostgreSQL knows: at most seconds old.
            with contextlib.suppress(SeatsUnavailable):
                await self.drain(session.id)
        async with self._database.connection() as conn:
            if only is None:
                people = await attendance.people(conn, session.id, session.course_id)
            else:
                people = [(only.id, only.name, only.email)]
            stays = await attendance.intervals(conn, session.id)
            if session.provider is Provider.LINK:
                # All that is known is who opened the address, and when.
                visits = await live_sessions.visits(conn, session.id)
                stays = {
                    user: [Interval(joined_at=at, left_at=at, leave_reason="left")]
                    for user, at in visits.items()
                }
        by_click = session.provider is Provider.LINK
        now = datetime.now(UTC)
        rows = [
            row(
                person,
                stays.get(person[0], []),
                began=session.started_at or (session.start_time if by_click else None),
                ended=None if by_click else session.ended_at,
                now=now,
                gap=self._gap,
                thresholds=session.thresholds,
            )
            for person in people
        ]
        return Report(session=session, rows=rows, as_of=now)
