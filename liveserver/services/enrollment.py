"""A student's place in a course: taken, given back, taken away."""

from datetime import datetime
from uuid import UUID

from liveserver.errors import NotFound, PaymentRequired, Removed
from liveserver.models.accounts import User
from liveserver.models.courses import EnrolledStudent, Enrollment
from liveserver.models.ids import CourseId, UserId
from liveserver.models.notifications import NotificationKind
from liveserver.models.webhooks import WebhookEvent
from liveserver.services.courses import taught
from liveserver.services.notifications import Notifications
from liveserver.services.seats import Seats
from liveserver.services.webhooks import Webhooks
from liveserver.storage import audit, courses, enrollments
from liveserver.storage.postgres import Connection, Database


class EnrollmentDesk:
    def __init__(
        self, database: Database, seats: Seats, notifications: Notifications, webhooks: Webhooks
    ) -> None:
        self._database = database
        self._webhooks = webhooks
        self._seats = seats
        self._notifications = notifications

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
                key = await self.tell_enrolled(conn, student.id, course_id, course.title)
        if fresh is None:
            # Another request of the same student was a moment earlier.
            async with self._database.connection() as conn:
                row = await enrollments.of_student(conn, student.id, course_id)
            assert row is not None  # noqa: S101 - the conflict proved it
            return row, False
        await self._notifications.push(key)
        return fresh, True

    async def tell_enrolled(self, conn: Connection, student: UserId, course_id: CourseId, title: str) -> str:
        """Tell of a new student in the deed's transaction; return the key to push."""
        await self._webhooks.emit(
            conn, WebhookEvent.ENROLLMENT_CREATED, studentId=student, courseId=course_id, title=title
        )
        return await self._notifications.tell(
            conn,
            [student],
            NotificationKind.ENROLLED,
            f"enrolled:{course_id}",
            courseId=course_id,
            title=title,
        )

    async def students(
        self, instructor: User, course_id: CourseId, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[EnrolledStudent]:
        """Return who is enrolled, the newest first; `after` is where the page before ended."""
        async with self._database.connection() as conn:
            await taught(conn, instructor, course_id)
            return await enrollments.of_course(conn, course_id, after=after, limit=limit)

    async def remove(self, instructor: User, course_id: CourseId, student: UserId) -> None:
        """Put a student out of the course and of a class that runs; back they come only by `readmit`."""
        async with self._database.transaction() as conn:
            course = await taught(conn, instructor, course_id, lock=True)
            if not await enrollments.set_removed(conn, student, course_id, removed=True):
                raise NotFound
            await audit.write(conn, instructor.id, "student.removed", student, courseId=course_id)
            key = await self._notifications.tell(
                conn,
                [student],
                NotificationKind.REMOVED,
                f"removed:{course_id}:{course.version}:{student}",
                courseId=course_id,
                title=course.title,
            )
        await self._seats.evict(student, course_id)
        await self._notifications.push(key)

    async def readmit(self, instructor: User, course_id: CourseId, student: UserId) -> None:
        """Let a removed student be enrolled again, with everything they had; again changes nothing."""
        async with self._database.transaction() as conn:
            await taught(conn, instructor, course_id, lock=True)
            row = await enrollments.of_student(conn, student, course_id)
            if row is None:
                raise NotFound
            if await enrollments.set_removed(conn, student, course_id, removed=False):
                await audit.write(conn, instructor.id, "student.readmitted", student, courseId=course_id)
