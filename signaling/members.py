"""Who is connected to this process, by socket and by class."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from liveserver.models.accounts import User
from liveserver.models.ids import LiveSessionId, UserId
from liveserver.models.live_sessions import LiveSession, Seat

ENCODER, PLAYER = "encoder", "player"  # the devices of members who are programs, and have no page
PROGRAMS = frozenset({ENCODER, PLAYER})
_PER_SECOND, _BURST = 20.0, 40.0
_CHAT_PER_SECOND, _CHAT_BURST = 1.0, 5.0
_NEGOTIATED_PER_SECOND, _NEGOTIATED_BURST = 3.0, 12.0
_NEGOTIATION = {"media.publish", "media.subscribe", "media.answer"}
_BREACHES = 20  # events over a limit, before the socket is closed


@dataclass(slots=True)
class Bucket:
    """A token bucket; time is an argument, in seconds."""

    rate: float
    burst: float
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self, now: float) -> bool:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@dataclass(slots=True, eq=False)
class Member:
    """One confirmed socket. `family` is the login it came by, `authorised_until` when that runs out."""

    sid: str
    seat: Seat
    user: User
    session: LiveSession
    family: str
    device: str
    authorised_until: float
    warned: bool = False
    playing: int | None = None  # the connection of a player, which is all there is of them
    leaving: bool = False
    worker: str = ""  # whose media room they entered last
    unattached: bool = False  # seated, and not in the media room: no worker took them
    breaches: int = 0
    socket_lost_at: float | None = None
    lost_at: float | None = None  # when its socket was last heard of; media may still be
    events: Bucket = field(default_factory=lambda: Bucket(_PER_SECOND, _BURST))
    negotiation: Bucket = field(default_factory=lambda: Bucket(_NEGOTIATED_PER_SECOND, _NEGOTIATED_BURST))
    chat: Bucket = field(default_factory=lambda: Bucket(_CHAT_PER_SECOND, _CHAT_BURST))

    @property
    def room(self) -> str:
        return str(self.seat.session_id)

    @property
    def name(self) -> str:
        return str(self.seat.user_id)

    def may(self, event: str, now: float) -> bool:
        """Say whether one more event of this kind is within the limits."""
        own = self.chat if event == "chat.say" else self.negotiation if event in _NEGOTIATION else None
        return self.events.take(now) and (own is None or own.take(now))

    def breach(self) -> bool:
        """Count one event too many; True when it was one breach too many, too."""
        self.breaches += 1
        return self.breaches >= _BREACHES


class Members:
    """Every member of this process."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Member] = {}

    def add(self, member: Member) -> None:
        self._by_sid[member.sid] = member

    def remove(self, sid: str) -> Member | None:
        return self._by_sid.pop(sid, None)

    def get(self, sid: str) -> Member | None:
        return self._by_sid.get(sid)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._by_sid.values()))

    def has_newer(self, member: Member) -> bool:
        """Say whether the same person came into the same class again since."""
        return any(
            one.room == member.room and one.seat.rank > member.seat.rank
            for one in self.of_user(member.seat.user_id)
        )

    def of(self, session_id: LiveSessionId) -> list[Member]:
        return [member for member in self if member.seat.session_id == session_id]

    def of_user(self, user_id: UserId) -> list[Member]:
        return [member for member in self if member.seat.user_id == user_id]

    def by_session(self) -> dict[LiveSessionId, list[Member]]:
        grouped: dict[LiveSessionId, list[Member]] = {}
        for member in self:
            grouped.setdefault(member.seat.session_id, []).append(member)
        return grouped
