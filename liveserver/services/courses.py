"""Preparing a course, having it reviewed, finding it."""

from uuid import UUID

from liveserver.errors import InstructorPending, NeedsLesson, NotFound, NotOwner, WrongState
from liveserver.models.accounts import AccountStatus, Role, User
from liveserver.models.courses import Course, CourseStatus, Lesson, LessonType, Section
from liveserver.models.ids import CourseId, SectionId
from liveserver.storage import audit, courses, enrollments, lessons, sections
from liveserver.storage.postgres import Connection, Database


class Courses:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        instructor: User,
        *,
        title: str,
        description: str,
        price: int,
        currency: str,
        language: str,
    ) -> Course:
        """Begin a draft that belongs to the caller."""
        if instructor.status is AccountStatus.PENDING:
            raise InstructorPending
        async with self._database.transaction() as conn:
            course_id = await courses.insert(
                conn,
                instructor.id,
                title=title,
                description=description,
                price=price,
                currency=currency,
                language=language,
            )
            return await _known(conn, course_id)

    async def catalogue(self, *, before: UUID | None, limit: int) -> list[Course]:
        async with self._database.connection() as conn:
            return await courses.catalogue(conn, before=before, limit=limit)

    async def taught_by(
        self, instructor: User, *, status: CourseStatus | None, before: UUID | None, limit: int
    ) -> list[Course]:
        async with self._database.connection() as conn:
            return await courses.taught_by(conn, instructor.id, status=status, before=before, limit=limit)

    async def for_review(
        self, *, status: CourseStatus | None, before: UUID | None, limit: int
    ) -> list[Course]:
        async with self._database.connection() as conn:
            return await courses.for_review(conn, status=status, before=before, limit=limit)

    async def enrolled_by(self, student: User, *, before: UUID | None, limit: int) -> list[Course]:
        async with self._database.connection() as conn:
            return await courses.enrolled_by(conn, student.id, before=before, limit=limit)

    async def view(self, viewer: User | None, course_id: CourseId) -> tuple[Course, bool]:
        """Return a course the viewer may see, and whether they are enrolled."""
        async with self._database.connection() as conn:
            return await _visible(conn, viewer, course_id)

    async def tree(self, viewer: User | None, course_id: CourseId) -> list[tuple[Section, list[Lesson]]]:
        async with self._database.connection() as conn:
            await _visible(conn, viewer, course_id)
            return await _tree(conn, course_id)

    async def own(
        self, instructor: User, course_id: CourseId
    ) -> tuple[Course, list[tuple[Section, list[Lesson]]]]:
        """Return a course the caller teaches, whole; a foreign one is not there."""
        async with self._database.connection() as conn:
            course = await courses.by_id(conn, course_id)
            if course is None or instructor.id not in course.staff:
                raise NotFound
            return course, await _tree(conn, course_id)

    async def add_section(
        self, instructor: User, course_id: CourseId, *, title: str, order: int | None
    ) -> Section:
        async with self._database.transaction() as conn:
            await _editable(conn, instructor, course_id)
            return await sections.insert(conn, course_id, title, order)

    async def add_lesson(
        self,
        instructor: User,
        section_id: SectionId,
        *,
        kind: LessonType,
        title: str,
        preview: bool,
    ) -> Lesson:
        async with self._database.transaction() as conn:
            section = await sections.by_id(conn, section_id)
            if section is None:
                raise NotFound
            await _editable(conn, instructor, section.course_id)
            lesson_id = await lessons.append(conn, section_id, kind=kind, title=title, preview=preview)
            lesson = await lessons.by_id(conn, lesson_id)
            assert lesson is not None  # noqa: S101 - inserted above
            return lesson

    async def lessons_of(self, viewer: User | None, section_id: SectionId) -> list[Lesson]:
        async with self._database.connection() as conn:
            section = await sections.by_id(conn, section_id)
            if section is None:
                raise NotFound
            await _visible(conn, viewer, section.course_id)
            everything = await lessons.of_course(conn, section.course_id)
            return [lesson for lesson in everything if lesson.section_id == section_id]

    async def may_edit(self, instructor: User, course_id: CourseId) -> None:
        """Raise NotFound or NotOwner as an edit would."""
        async with self._database.transaction() as conn:
            await _editable(conn, instructor, course_id)

    async def may_edit_section(self, instructor: User, section_id: SectionId) -> None:
        async with self._database.transaction() as conn:
            section = await sections.by_id(conn, section_id)
            if section is None:
                raise NotFound
            await _editable(conn, instructor, section.course_id)

    async def submit(self, instructor: User, course_id: CourseId) -> Course:
        """Ask for a review. Raises NeedsLesson, WrongState; only the owner may."""
        async with self._database.transaction() as conn:
            course = await courses.lock(conn, course_id)
            if course is None or instructor.id not in course.staff:
                raise NotFound
            if course.instructor_id != instructor.id:
                raise NotOwner
            if course.status not in {CourseStatus.DRAFT, CourseStatus.REJECTED}:
                raise WrongState(state=course.status)
            if not course.lesson_count:
                raise NeedsLesson
            await courses.set_status(conn, course_id, CourseStatus.PENDING)
            return await _known(conn, course_id)

    async def approve(self, admin: User, course_id: CourseId) -> Course:
        return await self._review(admin, course_id, CourseStatus.APPROVED, None)

    async def reject(self, admin: User, course_id: CourseId, reason: str) -> Course:
        return await self._review(admin, course_id, CourseStatus.REJECTED, reason)

    async def _review(
        self, admin: User, course_id: CourseId, verdict: CourseStatus, reason: str | None
    ) -> Course:
        async with self._database.transaction() as conn:
            course = await courses.lock(conn, course_id)
            if course is None:
                raise NotFound
            if course.status is verdict:
                return course
            reviewable = {CourseStatus.PENDING}
            if verdict is CourseStatus.REJECTED:
                reviewable.add(CourseStatus.APPROVED)
            if course.status not in reviewable:
                raise WrongState(state=course.status)
            if verdict is CourseStatus.APPROVED and not course.lesson_count:
                raise NeedsLesson
            await courses.set_status(conn, course_id, verdict, reason)
            await audit.write(conn, admin.id, f"course.{verdict}", course_id, reason=reason)
            return await _known(conn, course_id)


async def _known(conn: Connection, course_id: CourseId) -> Course:
    course = await courses.by_id(conn, course_id)
    if course is None:
        raise NotFound
    return course


async def _editable(conn: Connection, instructor: User, course_id: CourseId) -> Course:
    """Lock a course the caller may edit: 404 when nobody may see it, else 403 for a stranger."""
    course = await courses.lock(conn, course_id)
    if course is None:
        raise NotFound
    if instructor.id not in course.staff:
        if course.is_public:
            raise NotOwner
        raise NotFound
    return course


async def _visible(conn: Connection, viewer: User | None, course_id: CourseId) -> tuple[Course, bool]:
    course = await _known(conn, course_id)
    enrolled = False
    if viewer is not None and viewer.role is Role.STUDENT:
        enrolled = await enrollments.is_enrolled(conn, viewer.id, course_id)
    staff = viewer is not None and (viewer.id in course.staff or viewer.role is Role.ADMIN)
    # Rejected after approval: gone from the catalogue, open for who is enrolled.
    if not (course.is_public or staff or enrolled):
        raise NotFound
    return course, enrolled


async def _tree(conn: Connection, course_id: CourseId) -> list[tuple[Section, list[Lesson]]]:
    by_section: dict[SectionId, list[Lesson]] = {}
    for lesson in await lessons.of_course(conn, course_id):
        by_section.setdefault(lesson.section_id, []).append(lesson)
    return [
        (section, by_section.get(section.id, [])) for section in await sections.of_course(conn, course_id)
    ]
