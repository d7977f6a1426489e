"""What people do in a class besides hearing each other: chat, hands, the floor, keeping order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from liveserver.errors import Forbidden, NotFound
from liveserver.models.accounts import User
from liveserver.models.ids import LiveSessionId, UserId, uuid7
from liveserver.models.live_sessions import LiveSession, Seat
from liveserver.services.seats import Seats
from liveserver.storage import live_sessions, users
from liveserver.storage.bus import Bus
from liveserver.storage.postgres import Database
from liveserver.storage.presence import Presence, Standing
from liveserver.storage.seats import SeatLedger, SeatsLost, StaleEpoch

STUDENT_SOURCES = frozenset({"camera", "microphone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendee:
    """Somebody who is in the class. `away` while the link is lost and the seat kept."""

    user_id: UserId
    name: str
    is_staff: bool
    away: bool
    hand: int
    floor: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What somebody who enters must know."""

    session: LiveSession
    attendees: Sequence[Attendee]
    chat: Sequence[dict[str, str]]


class Classroom:
    """Deeds by somebody who holds a seat; each is told to every process over the bus."""

    def __init__(
        self,
        database: Database,
        ledger: SeatLedger,
        presence: Presence,
        seats: Seats,
        bus: Bus,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._presence = presence
        self._seats = seats
        self._bus = bus

    async def snapshot(self, session: LiveSession) -> Snapshot:
        attendees = await self.attendees(session)
        return Snapshot(session=session, attendees=attendees, chat=await self._presence.chat(session.id))

    async def attendees(self, session: LiveSession) -> list[Attendee]:
        """Return everybody with a confirmed place, staff first, then by name."""
        try:
            members = await self._ledger.members(session.id, session.seat_epoch)
        except (SeatsLost, StaleEpoch):
            return []
        present = {user: state for user, (state, _) in members.items() if state in {"S", "G"}}
        async with self._database.connection() as conn:
            names = await users.names(conn, list(present))
        standings = await self._presence.all_of(session.id)
        people = [
            _attendee(
                user,
                names.get(user, ""),
                staff=user in session.staff,
                away=state == "G",
                standing=standings.get(user, Standing()),
            )
            for user, state in present.items()
        ]
        return sorted(people, key=lambda one: (not one.is_staff, one.name))

    async def entered(self, seat: Seat, user: User) -> None:
        standing = await self._presence.get(seat.session_id, seat.user_id)
        await self._tell(
            seat.session_id,
            _attendee(user.id, user.name, staff=seat.is_staff, away=False, standing=standing),
        )

    async def away(self, seat: Seat, user: User) -> None:
        standing = await self._presence.get(seat.session_id, seat.user_id)
        await self._tell(
            seat.session_id,
            _attendee(user.id, user.name, staff=seat.is_staff, away=True, standing=standing),
        )

    async def floor_of(self, seat: Seat) -> list[str]:
        return (await self._presence.get(seat.session_id, seat.user_id)).floor

    async def say(self, seat: Seat, user: User, text: str) -> dict[str, str]:
        """Put a message to everybody."""
        message = {
            "id": str(uuid7()),
            "userId": str(user.id),
            "name": user.name,
            "text": text,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        await self._presence.add_chat(seat.session_id, message)
        await self._bus.publish("chat.said", session=str(seat.session_id), message=message)
        return message

    async def raise_hand(self, seat: Seat, user: User, *, up: bool) -> None:
        standing = await self._presence.get(seat.session_id, user.id)
        hand = (standing.hand or int(datetime.now(UTC).timestamp() * 1000)) if up else 0
        await self._stand(seat, user.name, replace(standing, hand=hand))

    async def give_floor(self, by: Seat, target: UserId, sources: Sequence[str]) -> None:
        """Note a floor that the media server has granted; the hand goes down with it."""
        standing = await self._presence.get(by.session_id, target)
        granted = sorted({*standing.floor, *sources} & STUDENT_SOURCES)
        await self._stand_for(by, target, replace(standing, hand=0, floor=granted))

    async def take_floor(self, by: Seat, target: UserId) -> None:
        """Take the floor back, as staff, or give back one's own."""
        require_staff(by, or_self=target)
        standing = await self._presence.get(by.session_id, target)
        await self._stand_for(by, target, replace(standing, floor=[]))

    async def told_to_mute(self, by: Seat, target: UserId, source: str) -> None:
        """Tell somebody that the media server stopped forwarding a source of theirs."""
        await self._bus.publish("muted", session=str(by.session_id), user=str(target), source=source)

    async def put_out(self, by: Seat, user: User, target: UserId, *, ban: bool) -> None:
        require_staff(by)
        async with self._database.connection() as conn:
            session = await live_sessions.by_id(conn, by.session_id)
        if session is None:
            raise NotFound
        await self._seats.kick(user, session, target, ban=ban)

    async def _stand_for(self, by: Seat, target: UserId, standing: Standing) -> None:
        async with self._database.connection() as conn:
            names = await users.names(conn, [target])
        await self._presence.put(by.session_id, target, standing)
        await self._tell(
            by.session_id,
            _attendee(target, names.get(target, ""), staff=False, away=False, standing=standing),
        )

    async def _stand(self, seat: Seat, name: str, standing: Standing) -> None:
        await self._presence.put(seat.session_id, seat.user_id, standing)
        await self._tell(
            seat.session_id,
            _attendee(seat.user_id, name, staff=seat.is_staff, away=False, standing=standing),
        )

    async def _tell(self, session_id: LiveSessionId, attendee: Attendee) -> None:
        await self._bus.publish("attendee", session=str(session_id), attendee=attendee_json(attendee))


def require_staff(seat: Seat, *, or_self: UserId | None = None) -> None:
    if not seat.is_staff and seat.user_id != or_self:
        raise Forbidden


def attendee_json(attendee: Attendee) -> dict[str, object]:
    """Return the form in which sockets and the bus tell of somebody."""
    return {
        "userId": str(attendee.user_id),
        "name": attendee.name,
        "role": "staff" if attendee.is_staff else "student",
        "away": attendee.away,
        "hand": attendee.hand,
        "floor": list(attendee.floor),
    }


def _attendee(user_id: UserId, name: str, *, staff: bool, away: bool, standing: Standing) -> Attendee:
    return Attendee(
        user_id=user_id,
        name=name,
        is_staff=staff,
        away=away,
        hand=standing.hand,
        floor=standing.floor,
    )
