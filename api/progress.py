"""How far a student has come, finishing a lesson, certificates."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import StringConstraints

from api.admin import ReasonIn
from api.contract import Request, route
from api.paging import cut
from api.scalars import Instant, Out, PageQuery, Query
from liveserver.errors import CourseClosed, Locked, NotEnrolled, NotOwner, Removed, ThresholdNotReached
from liveserver.models.accounts import Role
from liveserver.models.courses import LessonType
from liveserver.models.ids import CertificateId, CourseId, LessonId, SectionId, UserId
from liveserver.models.progress import Certificate, CourseProgress, LessonState
from liveserver.services.progress import CourseAverage

_STUDENT = {Role.STUDENT}
Code = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{20}$")]


class LessonProgressOut(Out):
    """`position` and `watched` are in seconds; `contentChanged` says it is another video than was watched."""

    lesson_id: LessonId
    section_id: SectionId
    title: str
    type: LessonType
    state: LessonState
    completed_at: Instant | None = None
    position: float
    watched: float
    content_changed: bool


class ProgressOut(Out):
    """One student's progress; or, asked by staff without `userId`, everybody's: a mean percent."""

    course_id: CourseId
    user_id: UserId | None = None
    percent: int
    students: int | None = None
    finished: int | None = None
    lessons: list[LessonProgressOut]
    next_lesson_id: LessonId | None = None


class ProgressQuery(Query):
    user_id: UserId | None = None


class CertificateOut(Out):
    """`status` is `revoked` when it counts no more."""

    code: str
    course_id: CourseId
    student_name: str
    course_title: str
    instructor_name: str
    issued_at: Instant
    status: Literal["valid", "revoked"]


class CertificatePage(Out):
    items: list[CertificateOut]
    next_cursor: CertificateId | None = None


@route("GET", "/api/courses/{course}/progress", raises=(NotEnrolled, NotOwner))
async def course_progress(request: Request, course: CourseId, query: ProgressQuery) -> ProgressOut:
    return _present(await request.services.progress.of_course(request.user, course, query.user_id))


@route("GET", "/api/progress/course/{course}", raises=(NotEnrolled, NotOwner))
async def progress_of_course(request: Request, course: CourseId, query: ProgressQuery) -> ProgressOut:
    return _present(await request.services.progress.of_course(request.user, course, query.user_id))


@route(
    "POST",
    "/api/progress/lesson/{lesson}/complete",
    roles=_STUDENT,
    raises=(NotEnrolled, Removed, CourseClosed, Locked, ThresholdNotReached),
)
async def complete_lesson(request: Request, lesson: LessonId) -> ProgressOut:
    return _present(await request.services.progress.complete(request.user, lesson))


@route("GET", "/api/certificates/mine", roles=_STUDENT)
async def my_certificates(request: Request, query: PageQuery) -> CertificatePage:
    found = await request.services.progress.certificates_of(
        request.user, before=query.cursor, limit=query.limit + 1
    )
    items, last = cut(found, query.limit)
    return CertificatePage(items=[_certificate(one) for one in items], next_cursor=last.id if last else None)


@route("GET", "/api/certificates/{code}", public=True, reads_login=False)
async def check_certificate(request: Request, code: Code) -> CertificateOut:
    return _certificate(await request.services.progress.certificate(code))


@route("GET", "/api/certificates/{code}/pdf", public=True, reads_login=False, produces="application/pdf")
async def certificate_document(request: Request, code: Code) -> web.Response:
    document = await request.services.progress.document(code)
    return web.Response(
        body=document,
        content_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="certificate-{code}.pdf"'},
    )


async def see_certificate(request: Request, code: Code) -> None:
    await request.services.progress.certificate(code)


@route("PATCH", "/api/admin/certificates/{code}/revoke", roles={Role.ADMIN}, guard=see_certificate)
async def revoke_certificate(request: Request, code: Code, body: ReasonIn) -> CertificateOut:
    return _certificate(await request.services.progress.revoke(request.user, code, body.reason))


def _present(progress: CourseProgress | CourseAverage) -> ProgressOut:
    if isinstance(progress, CourseAverage):
        return ProgressOut(
            course_id=progress.course_id,
            percent=progress.percent,
            students=progress.students,
            finished=progress.finished,
            lessons=[],
        )
    following = progress.next_lesson
    return ProgressOut(
        course_id=progress.course_id,
        user_id=progress.user_id,
        percent=progress.percent,
        lessons=[
            LessonProgressOut(
                lesson_id=one.lesson.id,
                section_id=one.lesson.section_id,
                title=one.lesson.title,
                type=one.lesson.type,
                state=one.state,
                completed_at=one.mark.completed_at if one.mark else None,
                position=one.mark.position if one.mark else 0,
                watched=one.mark.watched if one.mark else 0,
                content_changed=bool(one.mark and one.mark.content_changed),
            )
            for one in progress.lessons
        ],
        next_lesson_id=following.lesson.id if following else None,
    )


def _certificate(one: Certificate) -> CertificateOut:
    return CertificateOut(
        code=one.code,
        course_id=one.course_id,
        student_name=one.student_name,
        course_title=one.course_title,
        instructor_name=one.instructor_name,
        issued_at=one.issued_at,
        status="revoked" if one.revoked_at else "valid",
    )


ROUTES = [
    course_progress,
    progress_of_course,
    complete_lesson,
    my_certificates,
    check_certificate,
    certificate_document,
    revoke_certificate,
]
