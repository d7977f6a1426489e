"""What an admin does: reviewing courses, accounts, settings, the audit log, ending a class."""

from typing import Annotated, Any, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field, StringConstraints

from api.auth import UserOut
from api.contract import Request, route
from api.courses import CourseOut
from api.live_sessions import LiveSessionOut, present_session
from api.paging import CursorQuery, cut, decode, encode, flag
from api.scalars import NO_CONTROL, Body, Instant, Out, PageQuery, Whole
from api.sheets import sheet
from liveserver.errors import LastAdmin, NeedsLesson, NotYourself, SessionLive, WrongState
from liveserver.models.accounts import AccountStatus, Role, UserFilter
from liveserver.models.courses import CourseStatus
from liveserver.models.ids import AuditId, CourseId, LiveSessionId, UserId

_ADMIN = {Role.ADMIN}
_LONGEST_SHEET = 100_000
Reason = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True, pattern=NO_CONTROL)
]
Words = Annotated[
    str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=NO_CONTROL)
]


class ReasonIn(Body):
    reason: Reason


class RoleIn(Body):
    """`reassignTo` is the instructor who gets the courses of one who is none any more."""

    role: Literal["student", "instructor", "admin"]
    reassign_to: UserId | None = None


class SettingsOut(Out):
    """`completionPercent` is of a video's seconds, `attendancePercent` of a class.

    What no lesson has shown for `purgeDays` leaves the store.
    """

    registration_open: bool
    instructor_approval: bool
    verify_email: bool
    public_catalog: bool
    review_edits: bool
    keep_access_when_rejected: bool
    allow_overlap: bool
    max_playbacks: int
    completion_percent: int
    attendance_percent: int
    quota_gib: int
    max_video_mib: int
    max_file_mib: int
    purge_days: int


Percent = Annotated[int, Field(ge=0, le=100), Whole]


class SettingsPatch(Body):
    registration_open: bool | None = None
    instructor_approval: bool | None = None
    verify_email: bool | None = None
    public_catalog: bool | None = None
    review_edits: bool | None = None
    keep_access_when_rejected: bool | None = None
    allow_overlap: bool | None = None
    max_playbacks: Annotated[int, Field(ge=1, le=20), Whole] | None = None
    completion_percent: Percent | None = None
    attendance_percent: Percent | None = None
    quota_gib: Annotated[int, Field(ge=1, le=100_000), Whole] | None = None
    max_video_mib: Annotated[int, Field(ge=1, le=102_400), Whole] | None = None
    max_file_mib: Annotated[int, Field(ge=1, le=5120), Whole] | None = None
    purge_days: Annotated[int, Field(ge=1, le=3650), Whole] | None = None


class ReviewQuery(CursorQuery):
    status: CourseStatus | None = None


class ReviewCourse(CourseOut):
    rejection_reason: str | None = None
    changed_since_review: bool


class ReviewPage(Out):
    """Courses that wait for a review come first; deleted ones carry `deletedAt`."""

    items: list[ReviewCourse]
    next_cursor: str | None = None


class UsersQuery(PageQuery):
    q: Words | None = None
    role: Role | None = None
    status: AccountStatus | None = None
    format: Literal["json", "csv"] = "json"


class UserPage(Out):
    items: list[UserOut]
    next_cursor: UserId | None = None


class AuditQuery(PageQuery):
    """`action` may be the beginning of one, like `course.`."""

    action: Annotated[str | None, StringConstraints(max_length=60, pattern=r"^[a-z_.]+$")] = None
    actor_id: UserId | None = None


class AuditOut(Out):
    id: AuditId
    actor_id: UserId | None = None
    actor_name: str | None = None
    action: str
    subject: str | None = None
    details: dict[str, Any]
    at: Instant


class AuditPage(Out):
    items: list[AuditOut]
    next_cursor: AuditId | None = None


@route("GET", "/api/admin/courses", roles=_ADMIN)
async def list_courses_for_review(request: Request, query: ReviewQuery) -> ReviewPage:
    after = decode(query.cursor, flag, UUID)
    found = await request.services.courses.for_review(
        status=query.status, after=(after[0], after[1]) if after else None, limit=query.limit + 1
    )
    items, last = cut(found, query.limit)
    return ReviewPage(
        items=[ReviewCourse.model_validate(course) for course in items],
        next_cursor=encode(int(last.status is not CourseStatus.PENDING), last.id) if last else None,
    )


async def see_course(request: Request, course: CourseId) -> None:
    await request.services.courses.view(request.user, course)


@route(
    "PATCH",
    "/api/admin/courses/{course}/approve",
    roles=_ADMIN,
    raises=(WrongState, NeedsLesson),
)
async def approve_course(request: Request, course: CourseId) -> CourseOut:
    return CourseOut.model_validate(await request.services.courses.approve(request.user, course))


@route(
    "PATCH",
    "/api/admin/courses/{course}/reject",
    roles=_ADMIN,
    guard=see_course,
    raises=(WrongState, SessionLive),
)
async def reject_course(request: Request, course: CourseId, body: ReasonIn) -> ReviewCourse:
    rejected = await request.services.courses.reject(request.user, course, body.reason)
    return ReviewCourse.model_validate(rejected)


@route("GET", "/api/admin/users", roles=_ADMIN, produces="text/csv")
async def list_users(request: Request, query: UsersQuery) -> UserPage | web.Response:
    """As CSV, everybody who is found, on one sheet."""
    wanted = UserFilter(words=query.q, role=query.role, status=query.status)
    everybody = query.format == "csv"
    found = await request.services.moderation.find(
        wanted, before=query.cursor, limit=_LONGEST_SHEET if everybody else query.limit + 1
    )
    if everybody:
        return sheet(
            "users",
            ("id", "name", "email", "role", "status", "locale", "timezone", "createdAt"),
            (
                (
                    one.id,
                    one.name,
                    one.email,
                    one.role,
                    one.status,
                    one.locale,
                    one.timezone,
                    one.created_at.isoformat(),
                )
                for one in found
            ),
        )
    items, last = cut(found, query.limit)
    return UserPage(
        items=[UserOut.model_validate(one) for one in items], next_cursor=last.id if last else None
    )


async def see_user(request: Request, user: UserId) -> None:
    await request.services.moderation.view(user)


@route(
    "PATCH",
    "/api/admin/users/{user}/ban",
    roles=_ADMIN,
    guard=see_user,
    raises=(NotYourself, LastAdmin),
)
async def ban_user(request: Request, user: UserId, body: ReasonIn) -> UserOut:
    return UserOut.model_validate(await request.services.moderation.disable(request.user, user, body.reason))


@route("PATCH", "/api/admin/users/{user}/activate", roles=_ADMIN)
async def activate_user(request: Request, user: UserId) -> UserOut:
    return UserOut.model_validate(await request.services.moderation.activate(request.user, user))


@route(
    "PATCH",
    "/api/admin/users/{user}/role",
    roles=_ADMIN,
    guard=see_user,
    raises=(NotYourself, LastAdmin, SessionLive),
)
async def change_role(request: Request, user: UserId, body: RoleIn) -> UserOut:
    changed = await request.services.moderation.set_role(
        request.user, user, Role(body.role), reassign_to=body.reassign_to
    )
    return UserOut.model_validate(changed)


@route("GET", "/api/admin/settings", roles=_ADMIN)
async def read_settings(request: Request) -> SettingsOut:
    return SettingsOut.model_validate(request.services.platform.current)


@route("PATCH", "/api/admin/settings", roles=_ADMIN)
async def change_settings(request: Request, body: SettingsPatch) -> SettingsOut:
    given = body.model_dump(exclude_none=True)
    return SettingsOut.model_validate(await request.services.platform.change(request.user, given))


@route("POST", "/api/admin/live-sessions/{session}/end", roles=_ADMIN)
async def end_session_as_admin(request: Request, session: LiveSessionId) -> LiveSessionOut:
    ended = await request.services.live_sessions.end_as_moderation(request.user, session)
    return await present_session(request, ended)


@route("GET", "/api/admin/audit", roles=_ADMIN)
async def read_audit_log(request: Request, query: AuditQuery) -> AuditPage:
    found = await request.services.moderation.audit_log(
        action=query.action, actor=query.actor_id, before=query.cursor, limit=query.limit + 1
    )
    items, last = cut(found, query.limit)
    return AuditPage(
        items=[AuditOut.model_validate(one) for one in items], next_cursor=last.id if last else None
    )


ROUTES = [
    list_courses_for_review,
    approve_course,
    reject_course,
    list_users,
    ban_user,
    activate_user,
    change_role,
    read_settings,
    change_settings,
    end_session_as_admin,
    read_audit_log,
]
