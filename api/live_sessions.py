"""Live classes: scheduling, starting, ending, joining, leaving."""

import contextlib
import hashlib
from datetime import UTC, datetime
from typing import Annotated, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field, StringConstraints

from api.contract import SERVICES, Reply, Request, route
from api.front import FRONT
from api.scalars import Body, Instant, Out, PageQuery, PositiveInt, Title, WebAddress
from liveserver.errors import (
    CourseClosed,
    NotEnrolled,
    NotFound,
    Overlap,
    Removed,
    SeatsUnavailable,
    SessionCancelled,
    SessionEnded,
    SessionFull,
    SessionNotStarted,
    TooEarly,
    WrongState,
)
from liveserver.models.accounts import Role
from liveserver.models.ids import CourseId, LessonId, LiveSessionId
from liveserver.models.live_sessions import (
    Admission,
    LinkAdmission,
    LiveSession,
    Plan,
    Provider,
    SeatFigures,
    SeatState,
    SessionStatus,
)

_INSTRUCTOR = {Role.INSTRUCTOR}
_IN_CLASS = {Role.STUDENT, Role.INSTRUCTOR}
Timezone = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class SessionPlan(Body):
    """`duration` is in minutes; `timezone` the IANA zone in which the class has its hour.

    With provider `link` the class is held at `externalUrl`, which students learn when it begins.
    """

    title: Title
    start_time: Instant
    timezone: Timezone = "UTC"
    duration: PositiveInt
    max_students: PositiveInt
    provider: Literal["builtin", "link"] = "builtin"
    external_url: WebAddress | None = None


class LiveSessionIn(SessionPlan):
    course_id: CourseId
    lesson_id: LessonId | None = None


class LiveSessionPatch(Body):
    title: Title | None = None
    start_time: Instant | None = None
    timezone: Timezone | None = None
    duration: PositiveInt | None = None
    max_students: PositiveInt | None = None
    provider: Literal["builtin", "link"] | None = None
    external_url: WebAddress | None = None
    lesson_id: LessonId | None = None


class JoinIn(Body):
    wait: bool = False


class LiveSessionOut(Out):
    """`currentStudents` counts reserved, seated and briefly lost students, from the seat ledger."""

    id: LiveSessionId
    course_id: CourseId
    course_title: str
    lesson_id: LessonId | None = None
    title: str
    start_time: Instant
    timezone: str
    duration: int
    max_students: int
    current_students: int
    status: Literal["scheduled", "live", "ended", "cancelled"]
    cancel_reason: str | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    ends_at: Instant
    provider: Provider
    external_url: str | None = None
    is_staff: bool


class PlannedSession(LiveSessionOut):
    """`overlapsWith` warns of another class of the same host at that time, where the setting allows it."""

    overlaps_with: LiveSessionId | None = None


class LiveSessionPage(Out):
    items: list[LiveSessionOut]
    next_cursor: LiveSessionId | None = None


class SeatsOut(Out):
    total: int
    taken: int
    free: int


class MyPlace(Out):
    """`until` is when a reservation or the grace runs out, `position` the place in the line."""

    state: SeatState
    until: Instant | None = None
    position: int | None = None


class StatusOut(Out):
    status: Literal["scheduled", "live", "ended", "cancelled"]
    seats: SeatsOut
    mine: MyPlace
    starts_at: Instant
    ends_at: Instant
    server_time: Instant


class IceServer(Out):
    urls: list[str]
    username: str
    credential: str


class JoinOut(Out):
    """`ticket` opens one socket on the namespace /classroom within `expiresIn` seconds."""

    ticket: str
    expires_in: int
    slot: int | None = None
    role: Literal["staff", "student"]
    ice_servers: list[IceServer]
    session: LiveSessionOut


class MediaKeyOut(Out):
    """`whep` is where a player takes the class from; `whip` where a teacher's encoder sends to (RFC 9725),
    absent for who may not.
    """

    key: str
    expires_at: Instant
    whep: str
    whip: str | None = None


class LinkOut(Out):
    """A class held at `externalUrl`; that it was opened is all that its attendance knows."""

    provider: Literal["link"]
    external_url: str
    session: LiveSessionOut


class CalendarQuery(PageQuery):
    course_id: CourseId | None = None
    status: Literal["scheduled", "live", "ended", "cancelled"] | None = None
    after: Annotated[Instant | None, Field(alias="from")] = None
    before: Annotated[Instant | None, Field(alias="to")] = None


def plan_in(body: SessionPlan) -> Plan:
    return Plan(
        title=body.title,
        start_time=body.start_time,
        timezone=body.timezone,
        duration=body.duration,
        max_students=body.max_students,
        provider=Provider(body.provider),
        external_url=body.external_url,
    )


@route("POST", "/api/live-sessions", status=201, roles=_INSTRUCTOR, raises=(NotFound, CourseClosed, Overlap))
async def schedule_session(request: Request, body: LiveSessionIn) -> PlannedSession:
    session = await request.services.scheduling.schedule(
        request.user, body.course_id, lesson_id=body.lesson_id, plan=plan_in(body)
    )
    return await _planned(request, session)


@route("GET", "/api/live-sessions")
async def list_sessions(request: Request, query: CalendarQuery) -> LiveSessionPage:
    found = await request.services.scheduling.calendar(
        request.user,
        course_id=query.course_id,
        status=SessionStatus(query.status) if query.status else None,
        after=query.after,
        before=query.before,
        cursor=query.cursor,
        limit=query.limit + 1,
    )
    items = [await present_session(request, session) for session in found[: query.limit]]
    more = len(found) > query.limit
    return LiveSessionPage(items=items, next_cursor=items[-1].id if more else None)


async def see_session(request: Request, session: LiveSessionId) -> None:
    await request.services.scheduling.view(request.user, session)


@route("GET", "/api/live-sessions/{session}", raises=(NotEnrolled, Removed))
async def read_session(request: Request, session: LiveSessionId) -> LiveSessionOut:
    found = await request.services.scheduling.view(request.user, session)
    return await present_session(request, found)


@route("GET", "/api/live-sessions/{session}/ics", raises=(NotEnrolled, Removed), produces="text/calendar")
async def session_event(request: Request, session: LiveSessionId) -> web.Response:
    """The class for a calendar, at its hour in its own zone."""
    event = await request.services.scheduling.event(request.user, session)
    return web.Response(
        body=event,
        content_type="text/calendar",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="class-{session}.ics"'},
    )


@route(
    "PATCH",
    "/api/live-sessions/{session}",
    roles=_INSTRUCTOR,
    guard=see_session,
    raises=(SessionEnded, SessionCancelled, WrongState, Overlap),
)
async def change_session(request: Request, session: LiveSessionId, body: LiveSessionPatch) -> PlannedSession:
    changed = await request.services.scheduling.change(request.user, session, **body.model_dump())
    return await _planned(request, changed)


@route(
    "POST",
    "/api/live-sessions/{session}/start",
    roles=_INSTRUCTOR,
    raises=(TooEarly, CourseClosed, SessionEnded, SessionCancelled),
)
async def start_session(request: Request, session: LiveSessionId) -> LiveSessionOut:
    return await present_session(request, await request.services.live_sessions.start(request.user, session))


@route("POST", "/api/live-sessions/{session}/end", roles=_INSTRUCTOR)
async def end_session(request: Request, session: LiveSessionId) -> LiveSessionOut:
    return await present_session(request, await request.services.live_sessions.end(request.user, session))


@route("POST", "/api/live-sessions/{session}/cancel", roles=_INSTRUCTOR, raises=(WrongState,))
async def cancel_session(request: Request, session: LiveSessionId) -> LiveSessionOut:
    return await present_session(request, await request.services.scheduling.cancel(request.user, session))


@route(
    "POST",
    "/api/live-sessions/{session}/join",
    roles=_IN_CLASS,
    guard=see_session,
    raises=(
        NotEnrolled,
        Removed,
        CourseClosed,
        SessionNotStarted,
        SessionFull,
        SessionEnded,
        SessionCancelled,
        SeatsUnavailable,
    ),
)
async def join_session(
    request: Request,
    session: LiveSessionId,
    body: JoinIn | None = None,  # noqa: ARG001 - `wait` belongs to the waitlist, which is to come
) -> JoinOut | LinkOut:
    admission = await request.services.seats.join(request.login, session)
    if isinstance(admission, LinkAdmission):
        shown = await present_session(request, admission.session)
        return LinkOut(provider="link", external_url=admission.url, session=shown)
    return await _admit(request, admission)


@route(
    "POST",
    "/api/live-sessions/{session}/media-key",
    status=201,
    roles=_IN_CLASS,
    raises=(NotEnrolled, Removed, CourseClosed, SessionEnded, SessionCancelled),
)
async def make_media_key(request: Request, session: LiveSessionId) -> MediaKeyOut:
    """Make the key a program shows as `Authorization: Bearer`, good until the class is over."""
    made = await request.services.media_keys.issue(request.login, session)
    address = request.services.media_keys.address
    return MediaKeyOut(
        key=made.key,
        expires_at=made.expires_at,
        whep=f"{address}/whep/{session}",
        whip=f"{address}/whip/{session}" if made.brings else None,
    )


@route("GET", "/api/live-sessions/{session}/status", raises=(NotEnrolled, Removed))
async def session_status(request: Request, session: LiveSessionId) -> Reply[StatusOut | None]:
    polls = request.services.polls
    reading = await polls.read(request.user, session)
    found, figures = reading.session, reading.figures
    status = StatusOut(
        status=found.shown_status.value,
        seats=SeatsOut(
            total=found.max_students,
            taken=figures.taken,
            free=max(0, found.max_students - figures.taken),
        ),
        mine=MyPlace(state=figures.mine, until=figures.until, position=figures.position),
        starts_at=found.started_at or found.start_time,
        ends_at=found.ended_at or found.ends_at,
        server_time=datetime.now(UTC),
    )
    # The server's time is news each second and must not make every poll a full answer.
    text = status.model_dump_json(exclude={"server_time"})
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'
    if request.bearer is not None:
        await polls.keep(request.bearer, reading, etag)
    if etag in request.http.headers.get("If-None-Match", ""):
        return Reply(body=None, status=304, headers=_headers_of(etag))
    return Reply(body=status, status=200, headers=_headers_of(etag))


def _headers_of(etag: str) -> dict[str, str]:
    return {"ETag": etag, "Cache-Control": "private, no-cache"}


@web.middleware
async def unchanged_status(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a status poll that is told nothing new before any other work is done for it.

    Stands outside of everything: a class polls each second, and a 304 of ours may cost little more
    than aiohttp's own. Whatever is not surely unchanged goes on to `session_status`.
    """
    etags = request.headers.get("If-None-Match")
    known = request.app[FRONT].is_known(request.headers.get("Host", ""))
    if known and etags is not None and (session := request.match_info.get("session")) is not None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer" and request.match_info.route.name == session_status.name:
            etag = request.app[SERVICES].polls.unchanged(token, session, etags)
            if etag is not None:
                return web.Response(status=304, headers=_headers_of(etag))
    return await handler(request)


@route(
    "POST",
    "/api/live-sessions/{session}/leave",
    status=204,
    roles=_IN_CLASS,
    raises=(NotEnrolled, Removed, SeatsUnavailable),
)
async def leave_session(request: Request, session: LiveSessionId) -> None:
    await request.services.seats.leave(request.user, session)


async def _planned(request: Request, session: LiveSession) -> PlannedSession:
    shown = await present_session(request, session)
    overlap = await request.services.scheduling.overlap_of(session)
    return PlannedSession(**shown.model_dump(), overlaps_with=overlap)


async def present_session(request: Request, session: LiveSession) -> LiveSessionOut:
    figures = SeatFigures(taken=0, waiting=0, mine=SeatState.NONE)
    # The session is still readable while the ledger is away; admission is what fails closed.
    with contextlib.suppress(SeatsUnavailable):
        figures = await request.services.seats.figures_of(session, request.user.id)
    return _out(request, session, figures)


def _out(request: Request, session: LiveSession, figures: SeatFigures) -> LiveSessionOut:
    return LiveSessionOut(
        id=session.id,
        course_id=session.course_id,
        course_title=session.course_title,
        lesson_id=session.lesson_id,
        title=session.title,
        start_time=session.start_time,
        timezone=session.timezone,
        duration=session.duration,
        max_students=session.max_students,
        current_students=figures.taken,
        status=session.shown_status.value,
        cancel_reason=session.cancel_reason,
        started_at=session.started_at,
        ended_at=session.ended_at,
        ends_at=session.ends_at,
        provider=session.provider,
        external_url=session.external_url if request.user.id in session.staff else None,
        is_staff=request.user.id in session.staff,
    )


async def _admit(request: Request, admission: Admission) -> JoinOut:
    return JoinOut(
        ticket=admission.ticket,
        expires_in=admission.expires_in,
        slot=admission.slot,
        role="staff" if admission.is_staff else "student",
        ice_servers=[IceServer.model_validate(one) for one in request.services.relays.of(request.user.id)],
        session=await present_session(request, admission.session),
    )


ROUTES = [
    session_status,  # first: routes of one beginning are tried in turn, and nothing is asked so often
    schedule_session,
    list_sessions,
    read_session,
    session_event,
    change_session,
    start_session,
    end_session,
    cancel_session,
    join_session,
    make_media_key,
    leave_session,
]
