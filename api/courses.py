"""The catalogue, a course as a visitor or a student sees it, enrolling."""

from collections.abc import Set as AbstractSet
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from api.contract import Reply, Request, route
from api.paging import CursorQuery, cut, decode, encode, number
from api.scalars import NO_CONTROL, Instant, Out, PageQuery
from liveserver.errors import Invalid, PaymentRequired, Removed, Unauthenticated
from liveserver.models.accounts import Role
from liveserver.models.courses import (
    CatalogueFilter,
    Course,
    CourseSort,
    CourseStatus,
    Lesson,
    LessonType,
    Section,
)
from liveserver.models.ids import CourseId, EnrollmentId, LessonId, SectionId, UserId

_STUDENT = {Role.STUDENT}


class CourseOut(Out):
    """`price` is in minor units of `currency`."""

    id: CourseId
    instructor_id: UserId
    instructor_name: str
    title: str
    description: str
    price: int
    currency: str
    status: CourseStatus
    language: str
    sequential: bool
    lesson_count: int
    student_count: int
    version: int
    created_at: Instant
    updated_at: Instant
    deleted_at: Instant | None = None


class CourseView(CourseOut):
    """`enrolled` is the caller's own enrolment."""

    enrolled: bool


class LessonOut(Out):
    """`duration` is in seconds, of a video whose length is known. No lesson's content is named here."""

    id: LessonId
    course_id: CourseId
    section_id: SectionId
    type: LessonType
    title: str
    duration: int | None = None
    order: int
    preview: bool
    published: bool
    available_from: Instant | None = None
    version: int


class SectionOut(Out):
    id: SectionId
    course_id: CourseId
    title: str
    order: int
    version: int


class MarkedLesson(LessonOut):
    """`completed` is the caller's own mark, told to who is enrolled."""

    completed: bool | None = None


class SectionTree(SectionOut):
    lessons: list[MarkedLesson]


class CoursePage(Out):
    """`nextCursor` is absent on the last page."""

    items: list[CourseOut]
    next_cursor: str | None = None


class EnrollmentOut(Out):
    id: EnrollmentId
    student_id: UserId
    course_id: CourseId
    progress: Annotated[int, Field(ge=0, le=100)]
    created_at: Instant


class CatalogueQuery(CursorQuery):
    """`q` is looked for in title and description; `sort` is by relevance when there is a `q`."""

    q: Annotated[
        str | None, StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=NO_CONTROL)
    ] = None
    sort: CourseSort | None = None
    language: Literal["en", "ar"] | None = None
    price: Literal["free", "paid"] | None = None
    instructor_id: UserId | None = None


@route("GET", "/api/courses", public=True)
async def list_courses(request: Request, query: CatalogueQuery) -> CoursePage:
    _catalogue_is_open(request)
    sort = query.sort or (CourseSort.RELEVANCE if query.q else CourseSort.NEWEST)
    if sort is CourseSort.RELEVANCE and query.q is None:
        raise Invalid(("query.sort", "needs_q"))
    wanted = CatalogueFilter(
        words=query.q,
        language=query.language,
        free=None if query.price is None else query.price == "free",
        instructor_id=query.instructor_id,
        sort=sort,
    )
    after = decode(query.cursor, str, number, UUID)
    if after is not None and after.pop(0) != sort:
        raise Invalid(("query.cursor", "unknown_cursor"))
    found = await request.services.courses.find(wanted, after=after, limit=query.limit + 1)
    items, last = cut(found, query.limit)
    return CoursePage(
        items=[CourseOut.model_validate(course) for course, _ in items],
        next_cursor=encode(sort, last[1], last[0].id) if last else None,
    )


@route("GET", "/api/courses/{course}", public=True)
async def read_course(request: Request, course: CourseId) -> CourseView:
    _catalogue_is_open(request)
    found, enrolled = await request.services.courses.view(request.viewer, course)
    return CourseView(**CourseOut.model_validate(found).model_dump(), enrolled=enrolled)


@route("GET", "/api/courses/{course}/sections", public=True)
async def list_sections(request: Request, course: CourseId) -> list[SectionTree]:
    _catalogue_is_open(request)
    tree = await request.services.courses.tree(request.viewer, course)
    return sections_of(tree, await request.services.progress.completed(request.viewer, course))


@route("GET", "/api/sections/{section}/lessons", public=True)
async def list_lessons(request: Request, section: SectionId) -> list[LessonOut]:
    _catalogue_is_open(request)
    found = await request.services.courses.lessons_of(request.viewer, section)
    return [LessonOut.model_validate(lesson) for lesson in found]


@route(
    "POST",
    "/api/courses/{course}/enroll",
    status=201,
    also=(200,),
    roles=_STUDENT,
    raises=(PaymentRequired, Removed),
)
async def enroll(request: Request, course: CourseId) -> Reply[EnrollmentOut]:
    enrollment, fresh = await request.services.enrollment.enroll(request.user, course)
    return Reply(body=EnrollmentOut.model_validate(enrollment), status=201 if fresh else 200)


@route("GET", "/api/users/me/courses", roles=_STUDENT)
async def my_courses(request: Request, query: PageQuery) -> CoursePage:
    found = await request.services.courses.enrolled_by(
        request.user, before=query.cursor, limit=query.limit + 1
    )
    return page(found, query.limit)


def page(found: list[Course], limit: int) -> CoursePage:
    """Cut the one row too many that says there is a next page."""
    items, last = cut(found, limit)
    return CoursePage(
        items=[CourseOut.model_validate(course) for course in items],
        next_cursor=str(last.id) if last else None,
    )


def sections_of(
    tree: list[tuple[Section, list[Lesson]]], completed: AbstractSet[LessonId] | None = None
) -> list[SectionTree]:
    return [
        SectionTree(
            **SectionOut.model_validate(section).model_dump(),
            lessons=[
                MarkedLesson(
                    **LessonOut.model_validate(lesson).model_dump(),
                    completed=None if completed is None else lesson.id in completed,
                )
                for lesson in lessons
            ],
        )
        for section, lessons in tree
    ]


def _catalogue_is_open(request: Request) -> None:
    """The setting publicCatalog may ask strangers to sign in."""
    if request.viewer is None and not request.services.platform.current.public_catalog:
        raise Unauthenticated


ROUTES = [list_courses, read_course, list_sections, list_lessons, enroll, my_courses]
