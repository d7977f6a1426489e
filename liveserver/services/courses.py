"""Preparing a course, having it reviewed, finding it, taking it away."""

from collections.abc import Sequence
from typing import Unpack
from uuid import UUID

from liveserver.errors import (
    InstructorPending,
    NeedsLesson,
    NotFound,
    NotOwner,
    SessionLive,
    StaleVersion,
    WrongState,
)
from liveserver.models.accounts import AccountStatus, Role, User
from liveserver.models.courses import CatalogueFilter, Course, CourseFacts, CourseStatus, Lesson, Section
from liveserver.models.ids import CourseId, SectionId, UserId
from liveserver.models.live_sessions import LiveSession, SessionStatus
from liveserver.models.notifications import NotificationKind
from liveserver.services.live_sessions import LiveSessions, cancelled_key
from liveserver.services.notifications import Notifications
from liveserver.services.platform import Platform
from liveserver.services.seats import Seats
from liveserver.storage import audit, catalogue, courses, enrollments, lessons, live_sessions, sections, users
from liveserver.storage.postgres import Connection, Database

Tree = list[tuple[Section, list[Lesson]]]


class Courses:
    def __init__(
        self,
        database: Database,
        platform: Platform,
        notifications: Notifications,
        classes: LiveSessions,
        seats: Seats,
    ) -> None:
        self._database = database
        self._platform = platform
        self._notifications = notifications
        self._classes = classes
        self._seats = seats

    async def create(self, instructor: User, **facts: Unpack[CourseFacts]) -> Course:
        """Begin a draft that belongs to the caller."""
        if instructor.status is AccountStatus.PENDING:
            raise InstructorPending
        async with self._database.transaction() as conn:
            course_id = await courses.insert(conn, instructor.id, facts)
            return await known(conn, course_id)

    # Finding

    async def find(
        self, wanted: CatalogueFilter, *, after: Sequence[object] | None, limit: int
    ) -> list[catalogue.Found]:
        """Return public courses with the figure each is sorted by."""
        async with self._database.connection() as conn:
            return await catalogue.find(conn, wanted, after=after, limit=limit)

    async def taught_by(
        self,
        instructor: User,
        *,
        status: CourseStatus | None,
        deleted: bool,
        before: UUID | None,
        limit: int,
    ) -> list[Course]:
        async with self._database.connection() as conn:
            return await courses.taught_by(
                conn, instructor.id, status=status, deleted=deleted, before=before, limit=limit
            )

    async def for_review(
        self, *, status: CourseStatus | None, after: tuple[int, UUID] | None, limit: int
    ) -> list[Course]:
        async with self._database.connection() as conn:
            return await courses.for_review(conn, status=status, after=after, limit=limit)

    async def enrolled_by(self, student: User, *, before: UUID | None, limit: int) -> list[Course]:
        async with self._database.connection() as conn:
            return await courses.enrolled_by(conn, student.id, before=before, limit=limit)

    async def view(self, viewer: User | None, course_id: CourseId) -> tuple[Course, bool]:
        """Return a course the viewer may see, and whether they are enrolled."""
        async with self._database.connection() as conn:
            return await visible(conn, viewer, course_id)

    async def tree(self, viewer: User | None, course_id: CourseId) -> Tree:
        """Return sections and lessons; who does not teach the course sees published lessons only."""
        async with self._database.connection() as conn:
            course, _ = await visible(conn, viewer, course_id)
            return await _tree(conn, course_id, whole=may_see_all(viewer, course))

    async def lessons_of(self, viewer: User | None, section_id: SectionId) -> list[Lesson]:
        async with self._database.connection() as conn:
            section = await sections.by_id(conn, section_id)
            if section is None:
                raise NotFound
            course, _ = await visible(conn, viewer, section.course_id)
            tree = await _tree(conn, section.course_id, whole=may_see_all(viewer, course))
            return next((some for one, some in tree if one.id == section_id), [])

    async def own(self, instructor: User, course_id: CourseId) -> tuple[Course, Tree]:
        """Return a course the caller teaches, whole; a foreign one is not there."""
        async with self._database.connection() as conn:
            course = await taught(conn, instructor, course_id)
            return course, await _tree(conn, course_id, whole=True)

    # Editing

    async def change(
        self,
        instructor: User,
        course_id: CourseId,
        *,
        version: int | None,
        **facts: Unpack[CourseFacts],
    ) -> Course:
        """Change what is given. The price is the owner's; `version` is what the caller had read.

        Raises NotOwner, StaleVersion. With the setting reviewEdits an approved course waits for a
        review again.
        """
        async with self._database.transaction() as conn:
            course = await taught(conn, instructor, course_id, lock=True)
            sets_price = facts.get("price") is not None or facts.get("currency") is not None
            if sets_price and course.instructor_id != instructor.id:
                raise NotOwner
            require_version(course.version, version)
            await courses.update(conn, course_id, facts)
            await self.note_edit(conn, course)
            return await known(conn, course_id)

    async def note_edit(self, conn: Connection, course: Course) -> None:
        """What visitors saw of a course is not what was reviewed; with reviewEdits it waits for a review."""
        await courses.touch(conn, course.id)
        if self._platform.current.review_edits and course.status is CourseStatus.APPROVED:
            await courses.set_status(conn, course.id, CourseStatus.PENDING)

    async def delete(self, owner: User, course_id: CourseId) -> None:
        """Take a course out of sight; everything of it is kept, and its planned classes are cancelled.

        Raises SessionLive while a class of it runs.
        """
        keys = []
        async with self._database.transaction() as conn:
            course = await self._owned(conn, owner, course_id)
            for session in await _resting(conn, course_id):
                if session.status is SessionStatus.SCHEDULED:
                    await self._classes.call_off(conn, session, "course_deleted")
                    keys.append(cancelled_key(session.id))
            await courses.set_deleted(conn, course_id, deleted=True)
            await audit.write(conn, owner.id, "course.deleted", course_id, title=course.title)
        for key in keys:
            await self._notifications.push(key)

    async def restore(self, user: User, course_id: CourseId) -> Course:
        """Undo a deletion; on a course that is there it changes nothing."""
        async with self._database.transaction() as conn:
            course = await courses.lock(conn, course_id, deleted=True)
            if course is None or not (user.role is Role.ADMIN or course.instructor_id == user.id):
                raise NotFound
            if course.deleted_at is not None:
                await courses.set_deleted(conn, course_id, deleted=False)
                await audit.write(conn, user.id, "course.restored", course_id, title=course.title)
            return await known(conn, course_id)

    async def add_co_instructor(self, owner: User, course_id: CourseId, user_id: UserId) -> None:
        """Name somebody who may edit, schedule and teach with the owner; again changes nothing."""
        async with self._database.transaction() as conn:
            await self._owned(conn, owner, course_id)
            named = await users.by_id(conn, user_id)
            if named is None or named.role is not Role.INSTRUCTOR or named.is_disabled or user_id == owner.id:
                raise NotFound
            await courses.add_co_instructor(conn, course_id, user_id)

    async def remove_co_instructor(self, owner: User, course_id: CourseId, user_id: UserId) -> None:
        """End somebody's part in a course, in a class of it that runs as well; again changes nothing."""
        async with self._database.transaction() as conn:
            await self._owned(conn, owner, course_id)
            await courses.remove_co_instructor(conn, course_id, user_id)
        await self._seats.evict(user_id, course_id)

    async def _owned(self, conn: Connection, owner: User, course_id: CourseId) -> Course:
        course = await taught(conn, owner, course_id, lock=True)
        if course.instructor_id != owner.id:
            raise NotOwner
        return course

    # Review

    async def submit(self, instructor: User, course_id: CourseId) -> Course:
        """Ask for a review. Raises NeedsLesson, WrongState; only the owner may."""
        async with self._database.transaction() as conn:
            course = await self._owned(conn, instructor, course_id)
            if course.status not in {CourseStatus.DRAFT, CourseStatus.REJECTED}:
                raise WrongState(state=course.status)
            if not course.lesson_count:
                raise NeedsLesson
            await courses.set_status(conn, course_id, CourseStatus.PENDING)
            return await known(conn, course_id)

    async def approve(self, admin: User, course_id: CourseId) -> Course:
        return await self._review(admin, course_id, CourseStatus.APPROVED, None)

    async def reject(self, admin: User, course_id: CourseId, reason: str) -> Course:
        """Send a course back to its owner. Where the settings say so it is closed to who is enrolled, too.

        Raises SessionLive while a class runs that this would close.
        """
        return await self._review(admin, course_id, CourseStatus.REJECTED, reason)

    async def _review(
        self, admin: User, course_id: CourseId, verdict: CourseStatus, reason: str | None
    ) -> Course:
        async with self._database.transaction() as conn:
            course = await courses.lock(conn, course_id)
            if course is None:
                raise NotFound
            rejects = verdict is CourseStatus.REJECTED
            closes = rejects and not self._platform.current.keep_access_when_rejected
            if course.status is verdict and (course.closed or not closes):
                return course
            reviewable = {CourseStatus.PENDING}
            if rejects:
                reviewable |= {CourseStatus.APPROVED, CourseStatus.REJECTED}
            if course.status not in reviewable:
                raise WrongState(state=course.status)
            if verdict is CourseStatus.APPROVED and not course.lesson_count:
                raise NeedsLesson
            if closes:
                await _resting(conn, course_id)
            # What is closed stays so until it is approved.
            closed = rejects and (course.closed or closes)
            await courses.set_status(conn, course_id, verdict, reason, closed=closed)
            await audit.write(conn, admin.id, f"course.{verdict}", course_id, reason=reason)
            kind = (
                NotificationKind.COURSE_APPROVED
                if verdict is CourseStatus.APPROVED
                else NotificationKind.COURSE_REJECTED
            )
            key = await self._notifications.tell(
                conn,
                [course.instructor_id],
                kind,
                f"{kind}:{course_id}:{course.version}",
                courseId=course_id,
                title=course.title,
                reason=reason,
            )
            reviewed = await known(conn, course_id)
        await self._notifications.push(key)
        return reviewed


def require_version(present: int, read: int | None) -> None:
    """Raise StaleVersion when somebody changed it since the caller read it."""
    if read is not None and read != present:
        raise StaleVersion(version=present)


async def _resting(conn: Connection, course_id: CourseId) -> list[LiveSession]:
    """Return the classes of a course, locked. Raises SessionLive while one runs."""
    sessions = await live_sessions.lock_of_course(conn, course_id)
    for session in sessions:
        if session.status in {SessionStatus.LIVE, SessionStatus.ENDING}:
            raise SessionLive(sessionId=str(session.id))
    return sessions


def may_see_all(viewer: User | None, course: Course) -> bool:
    return viewer is not None and (viewer.id in course.staff or viewer.role is Role.ADMIN)


async def known(conn: Connection, course_id: CourseId) -> Course:
    course = await courses.by_id(conn, course_id)
    if course is None:
        raise NotFound
    return course


async def taught(conn: Connection, instructor: User, course_id: CourseId, *, lock: bool = False) -> Course:
    """Return a course the caller teaches; below /instructor a foreign one is not there."""
    course = await (courses.lock if lock else courses.by_id)(conn, course_id)
    if course is None or instructor.id not in course.staff:
        raise NotFound
    return course


async def visible(conn: Connection, viewer: User | None, course_id: CourseId) -> tuple[Course, bool]:
    """Return a course and whether the viewer is enrolled; NotFound for who may not know of it."""
    course = await known(conn, course_id)
    enrolled = False
    if viewer is not None and viewer.role is Role.STUDENT:
        enrolled = await enrollments.is_enrolled(conn, viewer.id, course_id)
    # Rejected after approval: gone from the catalogue, open for who is enrolled.
    if not (course.is_public or may_see_all(viewer, course) or enrolled):
        raise NotFound
    return course, enrolled


async def _tree(conn: Connection, course_id: CourseId, *, whole: bool) -> Tree:
    by_section: dict[SectionId, list[Lesson]] = {}
    for lesson in await lessons.of_course(conn, course_id):
        if whole or lesson.published:
            by_section.setdefault(lesson.section_id, []).append(lesson)
    return [
        (section, by_section.get(section.id, [])) for section in await sections.of_course(conn, course_id)
    ]
