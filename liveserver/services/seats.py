"""Who may be in a class now: joining, confirming by socket, losing the link, leaving."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from liveserver.errors import (
    AccountDisabled,
    NotFound,
    Refusal,
    Removed,
    SeatExpired,
    SeatsRebuilt,
    SeatsUnavailable,
    SessionCancelled,
    SessionEnded,
    SessionFull,
    SessionNotStarted,
    TicketInvalid,
    Unauthenticated,
)
from liveserver.models.accounts import Login, User
from liveserver.models.ids import CourseId, LiveSessionId, UserId
from liveserver.models.live_sessions import (
    Admission,
    Entrance,
    LinkAdmission,
    LiveSession,
    Provider,
    Seat,
    SeatFigures,
    SeatState,
    SessionStatus,
    Ticket,
    rank_of,
)
from liveserver.services.accounts import Accounts
from liveserver.services.attendance import Attendance
from liveserver.services.class_access import enterable, readable
from liveserver.services.tokens import TokenSigner
from liveserver.storage import enrollments, live_sessions, users
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Connection, Database
from liveserver.storage.presence import Presence
from liveserver.storage.seats import Answer, SeatLedger, SeatsLost, StaleEpoch, from_milliseconds
from liveserver.storage.throttle import Throttle

_log = structlog.get_logger()
_STATES = {
    "R": SeatState.RESERVED,
    "O": SeatState.OFFERED,
    "S": SeatState.SEATED,
    "G": SeatState.GRACE,
    "W": SeatState.WAITING,
}
_OCCUPYING = {SeatState.RESERVED, SeatState.OFFERED, SeatState.GRACE}


class Seats:
    def __init__(
        self,
        database: Database,
        ledger: SeatLedger,
        presence: Presence,
        attendance: Attendance,
        accounts: Accounts,
        signer: TokenSigner,
        throttle: Throttle,
        bus: Bus,
        *,
        reservation_seconds: int,
        start_window: timedelta,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._presence = presence
        self._attendance = attendance
        self._accounts = accounts
        self._signer = signer
        self._throttle = throttle
        self._bus = bus
        self._reservation_seconds = reservation_seconds
        self._start_window = start_window
        self._refused: Counter[LiveSessionId] = Counter()

    async def join(self, login: Login, session_id: LiveSessionId) -> Admission | LinkAdmission:
        """Reserve a seat and hand out the ticket that opens one socket.

        Raises NotEnrolled, Removed, CourseClosed, SessionNotStarted, SessionEnded, SessionCancelled,
        SessionFull, and SeatsUnavailable rather than admit anybody without the ledger.
        """
        user = login.user
        async with self._database.connection() as conn:
            session = await enterable(conn, user, session_id)
            staff = user.id in session.staff
            if session.provider is Provider.LINK:
                return await self._show_link(conn, session, user)
        _require_live(session)
        try:
            answer = await self._ledger.join(session_id, session.seat_epoch, user.id, staff=staff)
        except (SeatsLost, StaleEpoch) as error:
            raise SeatsUnavailable(retryAfter=1) from error
        if answer[0] == "FULL":
            self._refused[session_id] += 1
        _refuse(answer)
        ticket = Ticket(
            user_id=user.id,
            session_id=session_id,
            family=str(login.family),
            epoch=session.seat_epoch,
            is_staff=staff,
        )
        return Admission(
            session=session,
            ticket=self._signer.ticket(ticket, self._reservation_seconds),
            expires_in=self._reservation_seconds,
            slot=None if staff else int(answer[1]),
            is_staff=staff,
        )

    async def live(self, user: User, session_id: LiveSessionId) -> LiveSession:
        """Return a class that runs and that somebody may enter. Raises as `join` does."""
        async with self._database.connection() as conn:
            session = await enterable(conn, user, session_id)
        _require_live(session)
        return session

    async def _show_link(self, conn: Connection, session: LiveSession, user: User) -> LinkAdmission:
        """Tell where a class on somebody else's site is held, in its time only; the visit is noted."""
        if session.status is not SessionStatus.SCHEDULED or datetime.now(UTC) < session.may_start_from(
            self._start_window
        ):
            _require_live(session)
        assert session.external_url is not None  # noqa: S101 - the table's check
        if user.id not in session.staff:
            await live_sessions.note_visit(conn, session.id, user.id)
        return LinkAdmission(session=session, url=session.external_url)

    async def note_refused(self) -> None:
        """Write down how many were turned away since the last time; once a second, not once a person."""
        refused, self._refused = self._refused, Counter()
        if refused:
            async with self._database.transaction() as conn:
                for session_id, count in refused.items():
                    await live_sessions.add_refused(conn, session_id, count)

    async def figures_of(self, session: LiveSession, user_id: UserId) -> SeatFigures:
        nothing = SeatFigures(taken=0, waiting=0, mine=SeatState.NONE)
        if session.status is not SessionStatus.LIVE:
            return nothing
        try:
            look = await self._ledger.look(session.id, session.seat_epoch, user_id)
        except (SeatsLost, StaleEpoch) as error:
            raise SeatsUnavailable(retryAfter=1) from error
        mine = _STATES.get(look.state, SeatState.NONE)
        return SeatFigures(
            taken=look.totals.occupied,
            waiting=look.totals.waiting,
            mine=mine,
            until=from_milliseconds(look.number) if mine in _OCCUPYING else None,
            position=int(look.number) if mine is SeatState.WAITING else None,
            revision=look.revision,
        )

    async def confirm(self, token: str, *, conn_id: str, node: str) -> Entrance:
        """Turn a ticket into a seat: the only way to media. Everything is checked again.

        Raises TicketInvalid, SeatExpired, SessionEnded, Removed, NotEnrolled, AccountDisabled.
        """
        try:
            ticket, jti, seconds = await self._signer.read_ticket(token)
        except Unauthenticated as error:
            raise TicketInvalid from error
        if not await self._throttle.claim(f"ticket:{jti}", seconds):
            raise TicketInvalid  # used before
        session, user = await self._still_entitled(ticket)
        try:
            answer = await self._ledger.confirm(
                session.id,
                ticket.epoch,
                user.id,
                conn=conn_id,
                node=node,
                staff=ticket.is_staff,
            )
        except StaleEpoch as error:
            raise SeatExpired from error
        except SeatsLost as error:
            raise SeatsUnavailable(retryAfter=1) from error
        _refuse(answer)
        seat = Seat(
            session_id=session.id,
            user_id=user.id,
            epoch=ticket.epoch,
            slot=int(answer[1]),
            fence=int(answer[2]),
            is_staff=ticket.is_staff,
            returned=answer[3] in {"S", "G"},
            superseded=answer[4],
        )
        if not await self._attendance.holds(seat):
            # Another store gave this slot away too: PostgreSQL decides, and it decided for the other.
            await self._ledger.leave(session.id, seat.epoch, user.id, seat.fence)
            raise SeatExpired
        return Entrance(seat=seat, session=session, user=user, family=ticket.family)

    async def announce(self, seat: Seat, *, conn_id: str) -> None:
        """Tell every process that this connection is the newest of its person."""
        await self._bus.publish(
            "seat.confirmed",
            session=str(seat.session_id),
            user=str(seat.user_id),
            conn=conn_id,
            rank=seat.rank,
        )

    async def _still_entitled(self, ticket: Ticket) -> tuple[LiveSession, User]:
        try:
            login = await self._accounts.check_login(ticket.user_id, UUID(ticket.family))
        except AccountDisabled:
            raise
        except Unauthenticated as error:
            raise TicketInvalid from error
        async with self._database.connection() as conn:
            session = await enterable(conn, login.user, ticket.session_id)
            if (login.user.id in session.staff) != ticket.is_staff:
                raise TicketInvalid
        _require_live(session)
        return session, login.user

    async def renew(
        self, session_id: LiveSessionId, epoch: int, held: Sequence[tuple[UserId, int]]
    ) -> set[UserId]:
        """Keep seats alive; return whose are lost, whose sockets and media must close.

        Raises SeatsUnavailable when the ledger is away: the class goes on, a rebuild is to come; and
        SeatsRebuilt when one was: say anew who is here.
        """
        try:
            lost = await self._ledger.renew(session_id, epoch, held)
        except SeatsLost as error:
            raise SeatsUnavailable(retryAfter=2) from error
        except StaleEpoch as error:
            raise SeatsRebuilt(epoch=error.current) from error
        await self._attendance.seen(session_id, [user for user, _ in held if user not in lost])
        # Who lost the right while the ledger or the bus was away is found here.
        async with self._database.connection() as conn:
            strangers = await enrollments.strangers(conn, session_id, [user for user, _ in held])
            session = await live_sessions.by_id(conn, session_id)
        if session is not None:
            for user in strangers:
                await self.evict(user, session.course_id)
        return lost | set(strangers)

    async def reassert(self, seat: Seat, epoch: int, *, conn_id: str, node: str) -> Seat | None:
        """After a rebuild: say that this person really is here. None when the seat could not be kept."""
        try:
            answer = await self._ledger.reassert(
                seat.session_id,
                epoch,
                seat.user_id,
                conn=conn_id,
                node=node,
                staff=seat.is_staff,
                slot=seat.slot,
            )
        except (SeatsLost, StaleEpoch):
            return None
        if answer[0] != "SEATED":
            return None
        return Seat(
            session_id=seat.session_id,
            user_id=seat.user_id,
            epoch=epoch,
            slot=int(answer[1]),
            fence=int(answer[2]),
            is_staff=seat.is_staff,
            returned=True,
            superseded="",
        )

    async def drop(self, seat: Seat, *, silent_for: float) -> bool:
        """The link is lost: grace began `silent_for` seconds ago. False: it was an old connection."""
        try:
            dropped = await self._ledger.drop(
                seat.session_id, seat.epoch, seat.user_id, seat.fence, int(silent_for * 1000)
            )
            if dropped:
                await self._attendance.drain(seat.session_id)
        except (SeatsLost, StaleEpoch):
            return False
        return dropped

    async def leave(self, user: User, session_id: LiveSessionId) -> None:
        """Give the seat up; again changes nothing. Sockets and media are closed by who has them."""
        async with self._database.connection() as conn:
            session = await readable(conn, user, session_id)
        if session.status is not SessionStatus.LIVE:
            return
        try:
            left = await self._ledger.leave(session_id, session.seat_epoch, user.id)
        except (SeatsLost, StaleEpoch) as error:
            raise SeatsUnavailable(retryAfter=1) from error
        if left is not None:
            try:
                await self._settle(session_id, user.id)
            finally:
                # Told last: what is told closes the socket that may wait for this answer.
                rank = rank_of(session.seat_epoch, left)
                await self._tell_gone(session_id, user.id, "left", rank)

    async def kick(self, by: User, session: LiveSession, user_id: UserId, *, ban: bool) -> None:
        """Put a student out, and with `ban` for good. Raises NotFound for who is not a student here."""
        if user_id in session.staff:
            raise NotFound
        if ban:
            async with self._database.transaction() as conn:
                if await users.by_id(conn, user_id) is None:
                    raise NotFound
                await live_sessions.ban(conn, session.id, user_id, by.id)
        try:
            fence = await self._ledger.kick(session.id, session.seat_epoch, user_id, ban=ban)
        except (SeatsLost, StaleEpoch) as error:
            raise SeatsUnavailable(retryAfter=1) from error
        if fence is not None:
            rank = rank_of(session.seat_epoch, fence)
            await self._tell_gone(session.id, user_id, "banned" if ban else "kicked", rank)
            await self._settle(session.id, user_id)

    async def holders(self, session_id: LiveSessionId) -> set[UserId] | None:
        """Say who holds a place in a class; nobody in one that is over, None when it cannot be told now."""
        async with self._database.connection() as conn:
            session = await live_sessions.by_id(conn, session_id)
        if session is None or session.status is not SessionStatus.LIVE:
            return set()
        try:
            look = await self._ledger.look(session_id, session.seat_epoch, UserId(UUID(int=0)))
            if look.totals.status != "live":
                return None
            return set(await self._ledger.members(session_id, session.seat_epoch))
        except (SeatsLost, StaleEpoch, SeatsUnavailable):
            return None

    async def release_lost(self, user_id: UserId) -> None:
        """Free the seats kept for a link that will not come back: its login has ended."""
        async with self._database.connection() as conn:
            running = await live_sessions.live_with(conn, user_id)
        for session in running:
            try:
                look = await self._ledger.look(session.id, session.seat_epoch, user_id)
                if _STATES.get(look.state) is SeatState.GRACE:
                    fence = await self._ledger.leave(session.id, session.seat_epoch, user_id)
                    if fence is not None:
                        rank = rank_of(session.seat_epoch, fence)
                        await self._tell_gone(session.id, user_id, "left", rank)
                        await self._settle(session.id, user_id)
            except (SeatsLost, StaleEpoch, SeatsUnavailable) as error:
                _log.warning("seats.release_failed", session=str(session.id), why=type(error).__name__)

    async def evict(self, user_id: UserId, course_id: CourseId | None = None) -> None:
        """Put somebody out of every class that runs, or of a course's; their right to be there is gone.

        Never raises: who cannot be reached now loses the socket when it is next checked.
        """
        await self._bus.publish("right.ended", user=str(user_id))
        async with self._database.connection() as conn:
            if course_id is None:
                running = await live_sessions.live_with(conn, user_id)
            else:  # who has lost the right is not found by it
                running = await live_sessions.of_course(conn, course_id)
        for session in running:
            if session.status is not SessionStatus.LIVE:
                continue
            try:
                fence = await self._ledger.kick(session.id, session.seat_epoch, user_id, ban=False)
                if fence is not None:
                    rank = rank_of(session.seat_epoch, fence)
                    await self._tell_gone(session.id, user_id, "kicked", rank)
                    await self._settle(session.id, user_id)
            except (SeatsLost, StaleEpoch, SeatsUnavailable) as error:
                _log.warning("seats.evict_failed", session=str(session.id), why=type(error).__name__)

    async def _tell_gone(self, session_id: LiveSessionId, user_id: UserId, reason: str, rank: int) -> None:
        await self._bus.publish(
            "seat.closed", session=str(session_id), user=str(user_id), reason=reason, rank=rank
        )

    async def _settle(self, session_id: LiveSessionId, user_id: UserId) -> None:
        """Write down that somebody has gone."""
        await self._presence.clear(session_id, user_id)
        await self._attendance.drain(session_id)


def _require_live(session: LiveSession) -> None:
    if session.status is SessionStatus.SCHEDULED:
        if session.is_missed(datetime.now(UTC)):
            raise SessionCancelled(reason="missed")
        raise SessionNotStarted(startsAt=session.start_time)
    if session.status is SessionStatus.CANCELLED:
        raise SessionCancelled(reason=session.cancel_reason)
    if session.status is not SessionStatus.LIVE:
        raise SessionEnded


_REFUSALS: dict[str, type[Refusal]] = {
    "FULL": SessionFull,
    "BANNED": Removed,
    "ENDED": SessionEnded,
    "GONE": SeatExpired,
}


def _refuse(answer: Answer) -> None:
    """Raise what the ledger's word means when it is not a grant."""
    if answer[0] in _REFUSALS:
        raise _REFUSALS[answer[0]]
    if answer[0] == "NOT_LIVE":  # a rebuild is under way
        raise SeatsUnavailable(retryAfter=2)
