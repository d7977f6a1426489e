"""One scheduled live class, and a student's place in it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from liveserver.models.accounts import User
from liveserver.models.attendance import Thresholds
from liveserver.models.ids import CourseId, LessonId, LiveSessionId, UserId


class SessionStatus(StrEnum):
    SCHEDULED = "scheduled"
    LIVE = "live"
    ENDING = "ending"  # inside only: shown as live, joins are refused already
    ENDED = "ended"
    CANCELLED = "cancelled"


class Provider(StrEnum):
    BUILTIN = "builtin"
    LINK = "link"


class SeatState(StrEnum):
    """A person's own place, as the status route tells it."""

    NONE = "none"
    WAITING = "waiting"
    OFFERED = "offered"
    RESERVED = "reserved"
    SEATED = "seated"
    GRACE = "grace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A class to be: `duration` in minutes; a `link` class is held at `external_url`."""

    title: str
    start_time: datetime
    timezone: str
    duration: int
    max_students: int
    provider: Provider = Provider.BUILTIN
    external_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """`duration` and `extension` are in minutes; `timezone` is the IANA zone it was scheduled in."""

    id: LiveSessionId
    course_id: CourseId
    course_title: str
    lesson_id: LessonId | None
    title: str
    start_time: datetime
    timezone: str
    duration: int
    extension: int
    max_students: int
    status: SessionStatus
    cancel_reason: str | None
    provider: Provider
    external_url: str | None
    host_id: UserId | None
    started_at: datetime | None
    ended_at: datetime | None
    seat_epoch: int
    staff: frozenset[UserId]  # the course's owner and co-instructors
    course_is_public: bool
    course_is_closed: bool
    thresholds: Thresholds  # the course's, and once it is over those it was judged by

    @property
    def shown_status(self) -> SessionStatus:
        return SessionStatus.LIVE if self.status is SessionStatus.ENDING else self.status

    @property
    def ends_at(self) -> datetime:
        """Return when it ends by itself, or would if it had started in time."""
        began = self.started_at or self.start_time
        return began + timedelta(minutes=self.duration + self.extension)

    def may_start_from(self, window: timedelta) -> datetime:
        return self.start_time - window

    def is_missed(self, now: datetime) -> bool:
        return self.status is SessionStatus.SCHEDULED and now > self.ends_at

    def is_over_time(self, now: datetime) -> bool:
        return self.status is SessionStatus.LIVE and now >= self.ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatFigures:
    """The ledger's totals, and one person's own place in it.

    `until` is when a reservation, an offer or the grace runs out; `position` counts from 1. While
    `revision` is the same, so are everybody's figures; it is empty of a class without a ledger.
    """

    taken: int
    waiting: int
    mine: SeatState
    until: datetime | None = None
    position: int | None = None
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A join that was granted: the ticket opens one socket within `expires_in` seconds."""

    session: LiveSession
    ticket: str
    expires_in: int
    slot: int | None
    is_staff: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAdmission:
    """A class that is held on somebody else's site, at `url`."""

    session: LiveSession
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a verified classroom ticket says."""

    user_id: UserId
    session_id: LiveSessionId
    family: str
    epoch: int
    is_staff: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A confirmed place: `fence` proves it is the newest. Staff have slot 0."""

    session_id: LiveSessionId
    user_id: UserId
    epoch: int
    slot: int
    fence: int
    is_staff: bool
    returned: bool  # the seat was in grace or on another connection before
    superseded: str  # the connection this one took over from, or empty

    @property
    def rank(self) -> int:
        """Order a person's entrances over rebuilds: fences begin anew with each epoch."""
        return rank_of(self.epoch, self.fence)


def rank_of(epoch: int, fence: int) -> int:
    return epoch << 32 | fence


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """A ticket that became a seat; `family` is the login it was issued to."""

    seat: Seat
    session: LiveSession
    user: User
    family: str
