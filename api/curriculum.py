"""Sections and lessons, as those who teach a course change them, and a lesson as who may open it sees it."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from api.contract import Request, if_match, route
from api.courses import LessonOut, SectionOut
from api.instructor_courses import OwnLesson, own_lesson
from api.live_sessions import SessionPlan, plan_in
from api.scalars import Body, Instant, PositiveInt, Title
from liveserver.errors import (
    CourseClosed,
    Locked,
    NotEnrolled,
    NotOwner,
    Overlap,
    Removed,
    SessionLive,
    StaleVersion,
)
from liveserver.models.accounts import Role
from liveserver.models.courses import LessonType
from liveserver.models.ids import CourseId, LessonId, LiveSessionId, SectionId
from liveserver.services.curriculum import NewLesson

_INSTRUCTOR = {Role.INSTRUCTOR}


# The key an upload of one's own was given; no address of any kind.
ContentUrl = Annotated[str, StringConstraints(max_length=300, pattern=r"^u/[A-Za-z0-9/._-]+$")]


class SectionIn(Body):
    title: Title
    order: PositiveInt | None = None


class SectionPatch(Body):
    title: Title | None = None
    order: PositiveInt | None = None


class LessonIn(Body):
    """A live lesson comes with `session`, the plan of its class, or the `liveSessionId` of one there is."""

    type: Literal["video", "file", "live"]
    title: Title
    preview: bool = False
    published: bool = True
    available_from: Instant | None = None
    order: PositiveInt | None = None
    content_url: ContentUrl | None = None
    session: SessionPlan | None = None
    live_session_id: LiveSessionId | None = None


class LessonPatch(Body):
    title: Title | None = None
    preview: bool | None = None
    published: bool | None = None
    available_from: Instant | None = None
    section_id: SectionId | None = None
    order: PositiveInt | None = None
    content_url: ContentUrl | None = None


async def edit_course(request: Request, course: CourseId) -> None:
    await request.services.curriculum.may_edit(request.user, course)


async def edit_section(request: Request, section: SectionId) -> None:
    await request.services.curriculum.may_edit_section(request.user, section)


async def edit_lesson(request: Request, lesson: LessonId) -> None:
    await request.services.curriculum.may_edit_lesson(request.user, lesson)


@route(
    "POST",
    "/api/courses/{course}/sections",
    status=201,
    roles=_INSTRUCTOR,
    guard=edit_course,
    raises=(NotOwner,),
)
async def add_section(request: Request, course: CourseId, body: SectionIn) -> SectionOut:
    section = await request.services.curriculum.add_section(request.user, course, **body.model_dump())
    return SectionOut.model_validate(section)


@route(
    "PATCH",
    "/api/sections/{section}",
    roles=_INSTRUCTOR,
    guard=edit_section,
    raises=(NotOwner, StaleVersion),
)
async def change_section(request: Request, section: SectionId, body: SectionPatch) -> SectionOut:
    changed = await request.services.curriculum.change_section(
        request.user, section, version=if_match(request), **body.model_dump()
    )
    return SectionOut.model_validate(changed)


@route("DELETE", "/api/sections/{section}", status=204, roles=_INSTRUCTOR, raises=(NotOwner, SessionLive))
async def delete_section(request: Request, section: SectionId) -> None:
    await request.services.curriculum.delete_section(request.user, section)


@route(
    "POST",
    "/api/sections/{section}/lessons",
    status=201,
    roles=_INSTRUCTOR,
    guard=edit_section,
    raises=(NotOwner, Overlap),
)
async def add_lesson(request: Request, section: SectionId, body: LessonIn) -> OwnLesson:
    new = NewLesson(
        type=LessonType(body.type),
        title=body.title,
        preview=body.preview,
        published=body.published,
        available_from=body.available_from,
        order=body.order,
        content_url=body.content_url,
        session=plan_in(body.session) if body.session else None,
        live_session_id=body.live_session_id,
    )
    return own_lesson(await request.services.curriculum.add_lesson(request.user, section, new))


@route(
    "GET", "/api/lessons/{lesson}", public=True, raises=(NotEnrolled, Removed, NotOwner, CourseClosed, Locked)
)
async def read_lesson(request: Request, lesson: LessonId) -> LessonOut:
    return LessonOut.model_validate(await request.services.curriculum.view_lesson(request.viewer, lesson))


@route(
    "PATCH",
    "/api/lessons/{lesson}",
    roles=_INSTRUCTOR,
    guard=edit_lesson,
    raises=(NotOwner, StaleVersion),
)
async def change_lesson(request: Request, lesson: LessonId, body: LessonPatch) -> OwnLesson:
    changed = await request.services.curriculum.change_lesson(
        request.user, lesson, version=if_match(request), **body.model_dump()
    )
    return own_lesson(changed)


@route("DELETE", "/api/lessons/{lesson}", status=204, roles=_INSTRUCTOR, raises=(NotOwner, SessionLive))
async def delete_lesson(request: Request, lesson: LessonId) -> None:
    await request.services.curriculum.delete_lesson(request.user, lesson)


ROUTES = [
    add_section,
    change_section,
    delete_section,
    add_lesson,
    read_lesson,
    change_lesson,
    delete_lesson,
]
