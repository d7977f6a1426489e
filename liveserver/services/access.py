"""Who may open a lesson: one rule for its page, its video, its file and its completion."""

from dataclasses import dataclass
from datetime import UTC, datetime

from liveserver.errors import CourseClosed, Locked, NotEnrolled, NotFound, NotOwner, Removed, Unauthenticated
from liveserver.models.accounts import Role, User
from liveserver.models.courses import Course, Lesson
from liveserver.models.ids import LessonId
from liveserver.models.progress import lock_of
from liveserver.services.courses import known, may_see_all
from liveserver.storage import enrollments, lesson_progress, lessons
from liveserver.storage.postgres import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A lesson somebody may use, and as what."""

    lesson: Lesson
    course: Course
    as_student: bool


async def open_lesson(conn: Connection, viewer: User | None, lesson_id: LessonId) -> Opened:
    """Return a lesson the viewer may open.

    Raises NotFound for what they may not know of, Unauthenticated, NotEnrolled, Removed, NotOwner (an
    instructor of another course), CourseClosed, Locked.
    """
    lesson = await lessons.by_id(conn, lesson_id)
    if lesson is None:
        raise NotFound
    course = await known(conn, lesson.course_id)
    if may_see_all(viewer, course):
        return Opened(lesson=lesson, course=course, as_student=False)
    enrollment = None
    if viewer is not None and viewer.role is Role.STUDENT:
        enrollment = await enrollments.of_student(conn, viewer.id, course.id)
    enrolled = enrollment is not None and enrollment.removed_at is None
    if not lesson.published or not (course.is_public or enrolled):
        raise NotFound
    if lesson.preview and not enrolled:
        return Opened(lesson=lesson, course=course, as_student=False)
    if viewer is None:
        raise Unauthenticated
    if viewer.role is not Role.STUDENT:
        raise NotOwner
    if enrollment is None:
        raise NotEnrolled(courseId=str(course.id), price=course.price)
    if enrollment.removed_at is not None:
        raise Removed
    await _require_open(conn, viewer, lesson, course)
    return Opened(lesson=lesson, course=course, as_student=True)


async def _require_open(conn: Connection, student: User, lesson: Lesson, course: Course) -> None:
    if course.closed:
        raise CourseClosed
    published = [one for one in await lessons.of_course(conn, course.id) if one.published]
    done = await lesson_progress.of_course(conn, student.id, course.id)
    lock = lock_of(lesson, published, done, sequential=course.sequential, now=datetime.now(UTC))
    if lock is not None:
        facts = {"unlockedBy": lock.unlocked_by, "availableFrom": lock.available_from}
        raise Locked(**{name: fact for name, fact in facts.items() if fact is not None})
