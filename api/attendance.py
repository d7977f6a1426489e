"""The attendance report of a class, as JSON and as CSV."""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from aiohttp import web

from api.contract import Request, route
from api.live_sessions import see_session
from api.scalars import Instant, Out, Query
from api.sheets import sheet
from liveserver.errors import NotEnrolled, Removed
from liveserver.models.accounts import Role
from liveserver.models.attendance import Presence
from liveserver.models.ids import LiveSessionId, UserId
from liveserver.services.attendance import Report


class StayOut(Out):
    joined_at: Instant
    left_at: Instant | None = None
    leave_reason: str | None = None


class AttendanceRowOut(Out):
    student_id: UserId
    name: str
    email: str
    status: Presence
    first_join: Instant | None = None
    last_leave: Instant | None = None
    total_seconds: int
    connections: int
    late_seconds: int
    left_early_seconds: int
    percent_of_session: int
    intervals: list[StayOut]


class AttendanceOut(Out):
    """`final` is true once the class is over: nothing in it changes any more."""

    session_id: LiveSessionId
    title: str
    timezone: str
    started_at: Instant | None = None
    ended_at: Instant | None = None
    final: bool
    as_of: Instant
    basis: Literal["seats", "clicks"]
    students: list[AttendanceRowOut]


class AttendanceQuery(Query):
    format: Literal["json", "csv"] = "json"


@route(
    "GET", "/api/live-sessions/{session}/attendance/mine", roles={Role.STUDENT}, raises=(NotEnrolled, Removed)
)
async def my_attendance(request: Request, session: LiveSessionId) -> AttendanceOut:
    """The same report with one line: one's own."""
    return _json(await request.services.attendance.own(request.user, session))


@route(
    "GET",
    "/api/live-sessions/{session}/attendance",
    roles={Role.INSTRUCTOR, Role.ADMIN},
    guard=see_session,
    produces="text/csv",
)
async def read_attendance(
    request: Request, session: LiveSessionId, query: AttendanceQuery
) -> AttendanceOut | web.Response:
    report = await request.services.attendance.report(request.user, session)
    return _csv(report) if query.format == "csv" else _json(report)


def _json(report: Report) -> AttendanceOut:
    return AttendanceOut(
        session_id=report.session.id,
        title=report.session.title,
        timezone=report.session.timezone,
        started_at=report.session.started_at,
        ended_at=report.session.ended_at,
        final=report.is_final,
        as_of=report.as_of,
        basis="clicks" if report.is_by_click else "seats",
        students=[
            AttendanceRowOut(
                student_id=row.user_id,
                name=row.name,
                email=row.email,
                status=row.status,
                first_join=row.first_join,
                last_leave=row.last_leave,
                total_seconds=row.total_seconds,
                connections=row.connections,
                late_seconds=row.late_seconds,
                left_early_seconds=row.left_early_seconds,
                percent_of_session=row.percent_of_session,
                intervals=[StayOut.model_validate(stay) for stay in row.intervals],
            )
            for row in report.rows
        ],
    )


_HEADINGS = [
    "studentId",
    "name",
    "email",
    "status",
    "firstJoinUtc",
    "lastLeaveUtc",
    "firstJoinLocal",
    "lastLeaveLocal",
    "totalSeconds",
    "connections",
    "lateSeconds",
    "leftEarlySeconds",
    "percentOfSession",
]


def _csv(report: Report) -> web.Response:
    """Times in UTC and in the session's zone."""
    zone = ZoneInfo(report.session.timezone)
    return sheet(
        f"attendance-{report.session.id}",
        _HEADINGS,
        (
            (
                row.user_id,
                row.name,
                row.email,
                row.status,
                _stamp(row.first_join, None),
                _stamp(row.last_leave, None),
                _stamp(row.first_join, zone),
                _stamp(row.last_leave, zone),
                row.total_seconds,
                row.connections,
                row.late_seconds,
                row.left_early_seconds,
                row.percent_of_session,
            )
            for row in report.rows
        ),
    )


def _stamp(at: datetime | None, zone: ZoneInfo | None) -> str:
    if at is None:
        return ""
    if zone is None:
        return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return at.astimezone(zone).isoformat(timespec="seconds")


ROUTES = [my_attendance, read_attendance]
