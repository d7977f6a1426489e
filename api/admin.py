"""What an admin does: reviewing courses."""

from typing import Annotated

from pydantic import StringConstraints

from api.contract import Request, route
from api.courses import CourseOut, CoursePage, OwnCoursesQuery, page
from api.scalars import NO_CONTROL, Body
from liveserver.errors import NeedsLesson, WrongState
from liveserver.models.accounts import Role
from liveserver.models.ids import CourseId

_ADMIN = {Role.ADMIN}


class RejectIn(Body):
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True, pattern=NO_CONTROL)
    ]


@route("GET", "/api/admin/courses", roles=_ADMIN)
async def list_courses_for_review(request: Request, query: OwnCoursesQuery) -> CoursePage:
    found = await request.services.courses.for_review(
        status=query.status, before=query.cursor, limit=query.limit + 1
    )
    return page(found, query.limit)


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
    raises=(WrongState,),
)
async def reject_course(request: Request, course: CourseId, body: RejectIn) -> CourseOut:
    rejected = await request.services.courses.reject(request.user, course, body.reason)
    return CourseOut.model_validate(rejected)


ROUTES = [list_courses_for_review, approve_course, reject_course]
