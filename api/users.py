"""Who the caller is: their account, their devices, an instructor's profile."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, StringConstraints

from api.auth import UserOut
from api.contract import Request, route
from api.paging import cut
from api.scalars import NO_CONTROL, ONE_LINE, Body, Instant, Name, Out, PageQuery, Password, WebAddress
from liveserver.errors import BadCredentials, BusyHashing, TooMany
from liveserver.models.accounts import DeviceLogin, InstructorProfile, Role
from liveserver.models.ids import FamilyId, UploadId, UserId

_INSTRUCTOR = {Role.INSTRUCTOR}


class UserPatch(Body):
    """A new `password` needs `currentPassword` and signs every other device out.

    `avatar` is the id of a finished upload of yours with that purpose; empty takes the picture away.
    """

    name: Name | None = None
    locale: Literal["en", "ar"] | None = None
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    avatar: UploadId | Literal[""] | None = None
    password: Password | None = None
    current_password: Password | None = None


class DeviceOut(Out):
    """`current` marks the device that asks."""

    id: FamilyId
    user_agent: str
    address: str
    created_at: Instant
    used_at: Instant
    expires_at: Instant
    current: bool


class DevicePage(Out):
    items: list[DeviceOut]
    next_cursor: FamilyId | None = None


class InstructorOut(Out):
    user: UserOut
    headline: str
    bio: str
    links: list[str]
    course_count: int
    student_count: int
    session_count: int


class InstructorPatch(Body):
    """Of HTML in `bio` plain formatting is kept."""

    headline: (
        Annotated[str, StringConstraints(max_length=200, strip_whitespace=True, pattern=ONE_LINE)] | None
    ) = None
    bio: Annotated[str, StringConstraints(max_length=10_000, pattern=NO_CONTROL)] | None = None
    links: Annotated[list[WebAddress], Field(max_length=10)] | None = None


@route("GET", "/api/auth/me")
async def me(request: Request) -> UserOut:
    return UserOut.model_validate(request.user)


@route("GET", "/api/users/me")
async def my_account(request: Request) -> UserOut:
    return UserOut.model_validate(request.user)


@route("PATCH", "/api/users/me", raises=(BadCredentials, BusyHashing, TooMany))
async def change_my_account(request: Request, body: UserPatch) -> UserOut:
    changed = await request.services.profiles.change(request.login, **body.model_dump())
    return UserOut.model_validate(changed)


@route("GET", "/api/avatars/{user}/{picture}", status=302, public=True, reads_login=False)
async def show_avatar(request: Request, user: UserId, picture: UploadId) -> web.Response:
    """Lead to somebody's portrait in the store. Who knows its address may see it."""
    url = await request.services.portraits.address(user, picture)
    # Browsers may keep the way half as long as it is open.
    return web.Response(status=302, headers={"Location": url, "Cache-Control": "public, max-age=300"})


@route("GET", "/api/auth/sessions")
async def my_devices(request: Request, query: PageQuery) -> DevicePage:
    found = await request.services.profiles.logins(request.user, before=query.cursor, limit=query.limit + 1)
    items, last = cut(found, query.limit)
    return DevicePage(items=[_device(request, one) for one in items], next_cursor=last.id if last else None)


@route("DELETE", "/api/auth/sessions/{device}", status=204)
async def end_device(request: Request, device: FamilyId) -> None:
    await request.services.profiles.end_login(request.user, device)


@route("POST", "/api/auth/logout-all", status=204)
async def logout_all(request: Request) -> None:
    await request.services.profiles.end_all(request.user)


@route("GET", "/api/instructors/me", roles=_INSTRUCTOR)
async def my_profile(request: Request) -> InstructorOut:
    return _instructor(await request.services.profiles.instructor(request.user))


@route("PATCH", "/api/instructors/me", roles=_INSTRUCTOR)
async def change_my_profile(request: Request, body: InstructorPatch) -> InstructorOut:
    return _instructor(await request.services.profiles.change_instructor(request.user, **body.model_dump()))


def _device(request: Request, one: DeviceLogin) -> DeviceOut:
    return DeviceOut(
        id=one.id,
        user_agent=one.user_agent,
        address=one.address,
        created_at=one.created_at,
        used_at=one.used_at,
        expires_at=one.expires_at,
        current=one.id == request.login.family,
    )


def _instructor(profile: InstructorProfile) -> InstructorOut:
    return InstructorOut(
        user=UserOut.model_validate(profile.user),
        headline=profile.headline,
        bio=profile.bio,
        links=list(profile.links),
        course_count=profile.course_count,
        student_count=profile.student_count,
        session_count=profile.session_count,
    )


ROUTES = [
    me,
    my_account,
    change_my_account,
    show_avatar,
    my_devices,
    end_device,
    logout_all,
    my_profile,
    change_my_profile,
]
