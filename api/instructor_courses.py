"""An instructor's own courses: making, changing, submitting, deleting; who teaches and studies in them."""

from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field, StringConstraints

from api.contract import Reply, Request, if_match, route
from api.courses import CourseOut, LessonOut, SectionOut
from api.paging import CursorQuery, cut, decode, encode, moment
from api.scalars import Body, Instant, Money, Out, PageQuery, Prose, Title, Whole
from api.sheets import sheet
from liveserver.errors import (
    InstructorPending,
    NeedsLesson,
    NotOwner,
    SessionLive,
    StaleVersion,
    WrongState,
)
from liveserver.models.accounts import Role
from liveserver.models.courses import Course, CourseStatus, Lesson
from liveserver.models.ids import CourseId, UserId
from liveserver.services.courses import Tree

_INSTRUCTOR = {Role.INSTRUCTOR}
_LONGEST_SHEET = 100_000
Minutes = Annotated[int, Field(ge=0, le=600), Whole]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class CourseIn(Body):
    """`price` is in minor units of `currency`; in a `sequential` course lessons open one after the other.

    Who comes to a class more than `lateAfter` minutes after its begin is late in its attendance, who goes
    more than `earlyBefore` minutes before its end left early.
    """

    title: Title
    description: Prose = ""
    price: Money = 0
    currency: Currency = "USD"
    language: Literal["en", "ar"] = "en"
    sequential: bool = False
    late_after: Minutes = 5
    early_before: Minutes = 5


class CoursePatch(Body):
    title: Title | None = None
    description: Prose | None = None
    price: Money | None = None
    currency: Currency | None = None
    language: Literal["en", "ar"] | None = None
    sequential: bool | None = None
    late_after: Minutes | None = None
    early_before: Minutes | None = None


class OwnLesson(LessonOut):
    """`contentUrl` is the key of what was uploaded for it."""

    content_url: str | None = None


class OwnSection(SectionOut):
    lessons: list[OwnLesson]


class OwnCourse(CourseOut):
    """`isOwner` is false for a co-instructor; `closed` shuts out who is enrolled until it is approved."""

    rejection_reason: str | None = None
    closed: bool
    late_after: int
    early_before: int
    is_owner: bool
    changed_since_review: bool
    co_instructor_ids: list[UserId]


class OwnCoursePage(Out):
    items: list[OwnCourse]
    next_cursor: CourseId | None = None


class CourseTree(OwnCourse):
    sections: list[OwnSection]


class OwnCoursesQuery(PageQuery):
    status: CourseStatus | None = None
    deleted: bool = False


class StudentsQuery(CursorQuery):
    format: Literal["json", "csv"] = "json"


class StudentOut(Out):
    user_id: UserId
    name: str
    email: str
    progress: int
    enrolled_at: Instant
    last_seen_at: Instant | None = None


class StudentPage(Out):
    items: list[StudentOut]
    next_cursor: str | None = None


@route("POST", "/api/instructor/courses", status=201, roles=_INSTRUCTOR, raises=(InstructorPending,))
async def create_course(request: Request, body: CourseIn) -> OwnCourse:
    course = await request.services.courses.create(request.user, **body.model_dump())
    return _own(request, course)


@route("GET", "/api/instructor/courses", roles=_INSTRUCTOR)
async def list_own_courses(request: Request, query: OwnCoursesQuery) -> OwnCoursePage:
    found = await request.services.courses.taught_by(
        request.user, status=query.status, deleted=query.deleted, before=query.cursor, limit=query.limit + 1
    )
    items, last = cut(found, query.limit)
    return OwnCoursePage(items=[_own(request, one) for one in items], next_cursor=last.id if last else None)


@route("GET", "/api/instructor/courses/{course}", roles=_INSTRUCTOR)
async def read_own_course(request: Request, course: CourseId) -> Reply[CourseTree]:
    found, tree = await request.services.courses.own(request.user, course)
    body = CourseTree(**_own(request, found).model_dump(), sections=_sections(tree))
    return Reply(body=body, status=200, headers={"ETag": f'"{found.version}"'})


async def see_own_course(request: Request, course: CourseId) -> None:
    await request.services.courses.own(request.user, course)


@route(
    "PATCH",
    "/api/instructor/courses/{course}",
    roles=_INSTRUCTOR,
    guard=see_own_course,
    raises=(NotOwner, StaleVersion),
)
async def change_course(request: Request, course: CourseId, body: CoursePatch) -> OwnCourse:
    changed = await request.services.courses.change(
        request.user, course, version=if_match(request), **body.model_dump()
    )
    return _own(request, changed)


@route(
    "DELETE",
    "/api/instructor/courses/{course}",
    status=204,
    roles=_INSTRUCTOR,
    raises=(NotOwner, SessionLive),
)
async def delete_course(request: Request, course: CourseId) -> None:
    await request.services.courses.delete(request.user, course)


@route("POST", "/api/instructor/courses/{course}/restore", roles={Role.INSTRUCTOR, Role.ADMIN})
async def restore_course(request: Request, course: CourseId) -> CourseOut:
    return CourseOut.model_validate(await request.services.courses.restore(request.user, course))


@route(
    "POST",
    "/api/instructor/courses/{course}/submit",
    roles=_INSTRUCTOR,
    raises=(NeedsLesson, WrongState, NotOwner),
)
async def submit_course(request: Request, course: CourseId) -> CourseOut:
    return CourseOut.model_validate(await request.services.courses.submit(request.user, course))


@route(
    "PUT",
    "/api/instructor/courses/{course}/co-instructors/{user}",
    status=204,
    roles=_INSTRUCTOR,
    raises=(NotOwner,),
)
async def add_co_instructor(request: Request, course: CourseId, user: UserId) -> None:
    await request.services.courses.add_co_instructor(request.user, course, user)


@route(
    "DELETE",
    "/api/instructor/courses/{course}/co-instructors/{user}",
    status=204,
    roles=_INSTRUCTOR,
    raises=(NotOwner,),
)
async def remove_co_instructor(request: Request, course: CourseId, user: UserId) -> None:
    await request.services.courses.remove_co_instructor(request.user, course, user)


@route("GET", "/api/instructor/courses/{course}/students", roles=_INSTRUCTOR, produces="text/csv")
async def list_students(
    request: Request, course: CourseId, query: StudentsQuery
) -> StudentPage | web.Response:
    """As CSV, everybody on one sheet."""
    if query.format == "csv":
        everybody = await request.services.enrollment.students(
            request.user, course, after=None, limit=_LONGEST_SHEET
        )
        return sheet(
            f"students-{course}",
            ("userId", "name", "email", "progress", "enrolledAt", "lastSeenAt"),
            (
                (
                    one.user_id,
                    one.name,
                    one.email,
                    one.progress,
                    one.enrolled_at.isoformat(),
                    one.last_seen_at.isoformat() if one.last_seen_at else None,
                )
                for one in everybody
            ),
        )
    after = decode(query.cursor, moment, UUID)
    found = await request.services.enrollment.students(
        request.user, course, after=(after[0], after[1]) if after else None, limit=query.limit + 1
    )
    items, last = cut(found, query.limit)
    return StudentPage(
        items=[StudentOut.model_validate(one) for one in items],
        next_cursor=encode(last.enrolled_at.isoformat(), last.enrollment_id) if last else None,
    )


@route("DELETE", "/api/instructor/courses/{course}/students/{user}", status=204, roles=_INSTRUCTOR)
async def remove_student(request: Request, course: CourseId, user: UserId) -> None:
    await request.services.enrollment.remove(request.user, course, user)


@route("PUT", "/api/instructor/courses/{course}/students/{user}", status=204, roles=_INSTRUCTOR)
async def readmit_student(request: Request, course: CourseId, user: UserId) -> None:
    """Let a student who was removed come back."""
    await request.services.enrollment.readmit(request.user, course, user)


def _own(request: Request, course: Course) -> OwnCourse:
    return OwnCourse(
        **CourseOut.model_validate(course).model_dump(),
        is_owner=course.instructor_id == request.user.id,
        rejection_reason=course.rejection_reason,
        closed=course.closed,
        late_after=course.late_after,
        early_before=course.early_before,
        changed_since_review=course.changed_since_review,
        co_instructor_ids=sorted(course.staff - {course.instructor_id}),
    )


def _sections(tree: Tree) -> list[OwnSection]:
    return [
        OwnSection(
            **SectionOut.model_validate(section).model_dump(), lessons=[own_lesson(one) for one in lessons]
        )
        for section, lessons in tree
    ]


def own_lesson(lesson: Lesson) -> OwnLesson:
    return OwnLesson.model_validate(lesson)


ROUTES = [
    create_course,
    list_own_courses,
    read_own_course,
    change_course,
    delete_course,
    restore_course,
    submit_course,
    add_co_instructor,
    remove_co_instructor,
    list_students,
    remove_student,
    readmit_student,
]
