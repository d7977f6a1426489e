"""A student's place in a course."""

from liveserver.errors import NotFound, PaymentRequired, Removed
from liveserver.models.accounts import User
from liveserver.models.courses import Enrollment
from liveserver.models.ids import CourseId
from liveserver.storage import courses, enrollments
from liveserver.storage.postgres import Database


class EnrollmentDesk:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def enroll(self, student: User, course_id: CourseId) -> tuple[Enrollment, bool]:
        """Give the student a place; return it and whether it is new. Twice changes nothing."""
        async with self._database.transaction() as conn:
            course = await courses.by_id(conn, course_id)
            existing = await enrollments.of_student(conn, student.id, course_id)
            if existing and existing.removed_at is None and course is not None:
                return existing, False
            if course is None or not course.is_public:
                raise NotFound
            if existing is not None:
                raise Removed
            if course.price:
                raise PaymentRequired(price=course.price, currency=course.currency)
            fresh = await enrollments.insert(conn, student.id, course_id)
            if fresh is not None:
                return fresh, True
            # Another request of the same student was a moment earlier.
            row = await enrollments.of_student(conn, student.id, course_id)
            assert row is not None  # noqa: S101 - the conflict proved it
            return row, False
