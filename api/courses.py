"""The catalogue, an instructor's courses, sections and lessons, enrolling."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.contract import Reply, Request, route
from api.scalars import Body, Instant, Money, Out, PageQuery, PositiveInt, Prose, Title
from liveserver.errors import (
    InstructorPending,
    NeedsLesson,
    NotOwner,
    PaymentRequired,
    Removed,
    Unauthenticated,
    WrongState,
)
from liveserver.models.accounts import Role
from liveserver.models.courses import Course, CourseStatus, Lesson, LessonType, Section
from liveserver.models.ids import CourseId, EnrollmentId, LessonId, SectionId, UserId

_INSTRUCTOR, _STUDENT = {Role.INSTRUCTOR}, {Role.STUDENT}
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class CourseIn(Body):
    title: Title
    description: Prose = ""
    price: Money = 0
    currency: Currency = "USD"
    language: Literal["en", "ar"] = "en"


class SectionIn(Body):
    title: Title
    order: PositiveInt | None = None


class LessonIn(Body):
    type: Literal["video", "file", "live"]
    title: Title
    preview: bool = False


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
    lesson_count: int
    student_count: int
    rejection_reason: str | None = None
    version: int
    created_at: Instant
    updated_at: Instant
    deleted_at: Instant | None = None


class CourseView(CourseOut):
    """`enrolled` is the caller's own enrolment."""

    enrolled: bool


class LessonOut(Out):
    """`duration` is in seconds, of a video whose length is known."""

    id: LessonId
    section_id: SectionId
    type: LessonType
    title: str
    duration: int | None = None
    order: int
    preview: bool


class SectionOut(Out):
    id: SectionId
    course_id: CourseId
    title: str
    order: int


class SectionTree(SectionOut):
    lessons: list[LessonOut]


class CourseTree(CourseOut):
    sections: list[SectionTree]


class CoursePage(Out):
    """`nextCursor` is absent on the last page."""

    items: list[CourseOut]
    next_cursor: CourseId | None = None


class EnrollmentOut(Out):
    id: EnrollmentId
    student_id: UserId
    course_id: CourseId
    progress: Annotated[int, Field(ge=0, le=100)]
    created_at: Instant


class OwnCoursesQuery(PageQuery):
    status: CourseStatus | None = None


@route("GET", "/api/courses", public=True)
async def list_courses(request: Request, query: PageQuery) -> CoursePage:
    await _catalogue_is_open(request)
    found = await request.services.courses.catalogue(before=query.cursor, limit=query.limit + 1)
    return page(found, query.limit)


@route("GET", "/api/courses/{course}", public=True)
async def read_course(request: Request, course: CourseId) -> CourseView:
    await _catalogue_is_open(request)
    found, enrolled = await request.services.courses.view(request.viewer, course)
    return CourseView(**CourseOut.model_validate(found).model_dump(), enrolled=enrolled)


@route("GET", "/api/courses/{course}/sections", public=True)
async def list_sections(request: Request, course: CourseId) -> list[SectionTree]:
    await _catalogue_is_open(request)
    return sections_of(await request.services.courses.tree(request.viewer, course))


@route("GET", "/api/sections/{section}/lessons", public=True)
async def list_lessons(request: Request, section: SectionId) -> list[LessonOut]:
    await _catalogue_is_open(request)
    found = await request.services.courses.lessons_of(request.viewer, section)
    return [LessonOut.model_validate(lesson) for lesson in found]


@route(
    "POST",
    "/api/courses/{course}/enroll",
    status=201,
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


@route("POST", "/api/instructor/courses", status=201, roles=_INSTRUCTOR, raises=(InstructorPending,))
async def create_course(request: Request, body: CourseIn) -> CourseOut:
    course = await request.services.courses.create(request.user, **body.model_dump())
    return CourseOut.model_validate(course)


@route("GET", "/api/instructor/courses", roles=_INSTRUCTOR)
async def list_own_courses(request: Request, query: OwnCoursesQuery) -> CoursePage:
    found = await request.services.courses.taught_by(
        request.user, status=query.status, before=query.cursor, limit=query.limit + 1
    )
    return page(found, query.limit)


@route("GET", "/api/instructor/courses/{course}", roles=_INSTRUCTOR)
async def read_own_course(request: Request, course: CourseId) -> CourseTree:
    found, tree = await request.services.courses.own(request.user, course)
    return CourseTree(**CourseOut.model_validate(found).model_dump(), sections=sections_of(tree))


@route(
    "POST",
    "/api/instructor/courses/{course}/submit",
    roles=_INSTRUCTOR,
    raises=(NeedsLesson, WrongState, NotOwner),
)
async def submit_course(request: Request, course: CourseId) -> CourseOut:
    return CourseOut.model_validate(await request.services.courses.submit(request.user, course))


async def edit_course(request: Request, course: CourseId) -> None:
    await request.services.courses.may_edit(request.user, course)


async def edit_section(request: Request, section: SectionId) -> None:
    await request.services.courses.may_edit_section(request.user, section)


@route(
    "POST",
    "/api/courses/{course}/sections",
    status=201,
    roles=_INSTRUCTOR,
    guard=edit_course,
    raises=(NotOwner,),
)
async def add_section(request: Request, course: CourseId, body: SectionIn) -> SectionOut:
    section = await request.services.courses.add_section(
        request.user, course, title=body.title, order=body.order
    )
    return SectionOut.model_validate(section)


@route(
    "POST",
    "/api/sections/{section}/lessons",
    status=201,
    roles=_INSTRUCTOR,
    guard=edit_section,
    raises=(NotOwner,),
)
async def add_lesson(request: Request, section: SectionId, body: LessonIn) -> LessonOut:
    lesson = await request.services.courses.add_lesson(
        request.user,
        section,
        kind=LessonType(body.type),
        title=body.title,
        preview=body.preview,
    )
    return LessonOut.model_validate(lesson)


def page(found: list[Course], limit: int) -> CoursePage:
    """Cut the one row too many that says there is a next page."""
    items = [CourseOut.model_validate(course) for course in found[:limit]]
    return CoursePage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


def sections_of(tree: list[tuple[Section, list[Lesson]]]) -> list[SectionTree]:
    return [
        SectionTree(
            **SectionOut.model_validate(section).model_dump(),
            lessons=[LessonOut.model_validate(lesson) for lesson in lessons],
        )
        for section, lessons in tree
    ]


async def _catalogue_is_open(request: Request) -> None:
    """The setting publicCatalog may ask strangers to sign in."""
    if request.viewer is None and not (await request.services.platform.settings()).public_catalog:
        raise Unauthenticated


ROUTES = [
    list_courses,
    read_course,
    list_sections,
    list_lessons,
    enroll,
    my_courses,
    create_course,
    list_own_courses,
    read_own_course,
    submit_course,
    add_section,
    add_lesson,
]
