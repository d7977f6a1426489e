"""How far a student has come; finishing lessons, and the certificate at the end."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from liveserver.errors import NotEnrolled, NotFound, NotOwner, ThresholdNotReached
from liveserver.models.accounts import Role, User
from liveserver.models.courses import Course, Lesson, LessonType
from liveserver.models.ids import CourseId, LessonId, UserId
from liveserver.models.notifications import NotificationKind
from liveserver.models.progress import (
    Certificate,
    CourseProgress,
    LessonMark,
    LessonProgress,
    LessonState,
    lock_of,
    percent_of,
)
from liveserver.models.webhooks import WebhookEvent
from liveserver.services.access import open_lesson
from liveserver.services.courses import may_see_all
from liveserver.services.notifications import Notifications
from liveserver.services.platform import Platform
from liveserver.services.webhooks import Webhooks
from liveserver.storage import (
    attendance,
    audit,
    certificates,
    courses,
    enrollments,
    lesson_progress,
    lessons,
    users,
)
from liveserver.storage.postgres import Connection, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseAverage:
    """What staff see of everybody: `percent` is the mean."""

    course_id: CourseId
    students: int
    percent: int
    finished: int


class CertificatePrinter(Protocol):
    def certificate(self, certificate: Certificate) -> bytes: ...


class Progress:
    def __init__(
        self,
        database: Database,
        platform: Platform,
        notifications: Notifications,
        webhooks: Webhooks,
        documents: CertificatePrinter,
    ) -> None:
        self._database = database
        self._documents = documents
        self._webhooks = webhooks
        self._platform = platform
        self._notifications = notifications

    async def of_course(
        self, viewer: User, course_id: CourseId, student: UserId | None
    ) -> CourseProgress | CourseAverage:
        """Return the caller's own progress; to staff and admins a student's, or with None everybody's mean.

        A deleted course still answers: what was achieved stays.
        """
        async with self._database.connection() as conn:
            course = await courses.by_id(conn, course_id, deleted=True)
            if course is None:
                raise NotFound
            if may_see_all(viewer, course):
                if student is None:
                    students, mean, finished = await lesson_progress.average(conn, course_id)
                    return CourseAverage(
                        course_id=course_id, students=students, percent=mean, finished=finished
                    )
                if await enrollments.of_student(conn, student, course_id) is None:
                    raise NotFound
                return await self._progress(conn, student, course)
            if viewer.role is not Role.STUDENT:
                raise NotOwner if course.is_public else NotFound
            if not await enrollments.is_enrolled(conn, viewer.id, course_id):
                raise NotEnrolled(courseId=str(course_id)) if course.is_public else NotFound
            if student not in {None, viewer.id}:
                raise NotOwner
            return await self._progress(conn, viewer.id, course)

    async def completed(self, viewer: User | None, course_id: CourseId) -> frozenset[LessonId] | None:
        """Return the lessons a student has finished; None for who is not enrolled."""
        if viewer is None or viewer.role is not Role.STUDENT:
            return None
        async with self._database.connection() as conn:
            if not await enrollments.is_enrolled(conn, viewer.id, course_id):
                return None
            done = await lesson_progress.of_course(conn, viewer.id, course_id)
        return frozenset(lesson for lesson, mark in done.items() if mark.completed_at is not None)

    async def complete(self, student: User, lesson_id: LessonId) -> CourseProgress:
        """Finish a lesson; again changes nothing.

        Raises what opening it raises, ThresholdNotReached for a video not watched or a class not
        attended enough.
        """
        keys: list[str] = []
        async with self._database.transaction() as conn:
            opened = await open_lesson(conn, student, lesson_id)
            if not opened.as_student:
                raise NotEnrolled(courseId=str(opened.course.id), price=opened.course.price)
            await self._require_threshold(conn, student, opened.lesson)
            keys += await self.note_completed(conn, student.id, opened.lesson, opened.course)
            progress = await self._progress(conn, student.id, opened.course)
        for key in keys:
            await self._notifications.push(key)
        return progress

    async def note_completed(
        self, conn: Connection, student: UserId, lesson: Lesson, course: Course
    ) -> list[str]:
        """Write a completion, the course's percent and, at the end, the certificate; return keys to push."""
        # One at a time for this student and course: the last two lessons finished at once are both counted.
        await enrollments.lock(conn, student, course.id)
        await lesson_progress.complete(conn, student, lesson.id)
        published, done = await _marks(conn, student, course.id)
        percent = percent_of(published, done)
        await lesson_progress.set_percent(conn, student, course.id, percent)
        if percent < 100:
            return []
        user = await users.by_id(conn, student)
        assert user is not None  # noqa: S101 - enrolled
        issued = await certificates.issue(conn, secrets.token_hex(10), student, user.name, course)
        if issued is None:
            return []
        facts = {"studentId": student, "courseId": course.id, "code": issued.code}
        await self._webhooks.emit(conn, WebhookEvent.CERTIFICATE_ISSUED, **facts)
        return [
            await self._notifications.tell(
                conn,
                [student],
                NotificationKind.CERTIFICATE_ISSUED,
                f"certificate_issued:{issued.id}",
                courseId=course.id,
                title=course.title,
                code=issued.code,
            )
        ]

    async def certificates_of(self, student: User, *, before: UUID | None, limit: int) -> list[Certificate]:
        async with self._database.connection() as conn:
            return await certificates.of_student(conn, student.id, before=before, limit=limit)

    async def certificate(self, code: str) -> Certificate:
        """Return a certificate by its code, for anybody who was shown it."""
        async with self._database.connection() as conn:
            found = await certificates.by_code(conn, code)
        if found is None:
            raise NotFound
        return found

    async def revoke(self, admin: User, code: str, reason: str) -> Certificate:
        """Let a certificate count no more, for ever. Again: the same. Raises NotFound."""
        async with self._database.transaction() as conn:
            revoked = await certificates.revoke(conn, code)
            if revoked is not None:
                await audit.write(conn, admin.id, "certificate.revoked", revoked.id, code=code, reason=reason)
        return revoked or await self.certificate(code)

    async def document(self, code: str) -> bytes:
        """Return a certificate as PDF."""
        certificate = await self.certificate(code)
        return await asyncio.to_thread(self._documents.certificate, certificate)

    async def _require_threshold(self, conn: Connection, student: User, lesson: Lesson) -> None:
        settings = self._platform.current
        if lesson.type is LessonType.VIDEO and lesson.content_url is not None:
            mark = (await lesson_progress.of_course(conn, student.id, lesson.course_id)).get(lesson.id)
            percent = int(100 * (mark.watched if mark else 0) / lesson.duration) if lesson.duration else 0
            if (mark is None or mark.completed_at is None) and percent < settings.completion_percent:
                raise ThresholdNotReached(percent=percent, required=settings.completion_percent)
        if lesson.type is LessonType.LIVE:
            percent = await attendance.percent_of_lesson(conn, student.id, lesson.id)
            if percent < settings.attendance_percent:
                raise ThresholdNotReached(percent=percent, required=settings.attendance_percent)

    async def _progress(self, conn: Connection, student: UserId, course: Course) -> CourseProgress:
        published, done = await _marks(conn, student, course.id)
        now = datetime.now(UTC)
        return CourseProgress(
            course_id=course.id,
            user_id=student,
            percent=percent_of(published, done),
            lessons=[
                LessonProgress(
                    lesson=lesson,
                    state=_state(lesson, published, done, sequential=course.sequential, now=now),
                    mark=done.get(lesson.id),
                )
                for lesson in published
            ],
        )


def _state(
    lesson: Lesson,
    published: list[Lesson],
    done: dict[LessonId, LessonMark],
    *,
    sequential: bool,
    now: datetime,
) -> LessonState:
    mark = done.get(lesson.id)
    if mark is not None and mark.completed_at is not None:
        return LessonState.COMPLETED
    if lock_of(lesson, published, done, sequential=sequential, now=now) is not None:
        return LessonState.LOCKED
    return LessonState.OPEN if mark is None else LessonState.STARTED


async def _marks(
    conn: Connection, student: UserId, course_id: CourseId
) -> tuple[list[Lesson], dict[LessonId, LessonMark]]:
    published = [one for one in await lessons.of_course(conn, course_id) if one.published]
    return published, await lesson_progress.of_course(conn, student, course_id)
