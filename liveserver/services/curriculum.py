"""What a course is made of: sections and lessons, added, moved, changed, taken away."""

from dataclasses import dataclass
from datetime import datetime

from liveserver.errors import Invalid, NotFound, NotOwner, SessionLive
from liveserver.models.accounts import User
from liveserver.models.courses import Course, Lesson, LessonType, Section
from liveserver.models.ids import CourseId, LessonId, LiveSessionId, SectionId
from liveserver.models.live_sessions import Plan, SessionStatus
from liveserver.models.uploads import Upload
from liveserver.services.access import open_lesson
from liveserver.services.courses import Courses, known, require_version
from liveserver.services.scheduling import Scheduling
from liveserver.storage import courses, lesson_progress, lessons, live_sessions, sections, uploads
from liveserver.storage.postgres import Connection, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLesson:
    """A lesson to be; one of type live comes with the plan of its class or the id of one there is."""

    type: LessonType
    title: str
    preview: bool = False
    published: bool = True
    available_from: datetime | None = None
    content_url: str | None = None
    order: int | None = None
    session: Plan | None = None
    live_session_id: LiveSessionId | None = None


class Curriculum:
    def __init__(self, database: Database, scheduling: Scheduling, courses: Courses) -> None:
        self._database = database
        self._scheduling = scheduling
        self._courses = courses

    async def _note_edit(self, conn: Connection, course_id: CourseId) -> None:
        """The course has other lessons than before: everybody's percent is another."""
        await self._courses.note_edit(conn, await known(conn, course_id))
        await lesson_progress.recount(conn, course_id)

    # Sections

    async def may_edit(self, instructor: User, course_id: CourseId) -> None:
        """Raise NotFound or NotOwner as an edit would."""
        async with self._database.transaction() as conn:
            await _editable(conn, instructor, course_id)

    async def may_edit_section(self, instructor: User, section_id: SectionId) -> None:
        async with self._database.transaction() as conn:
            await _section(conn, instructor, section_id)

    async def may_edit_lesson(self, instructor: User, lesson_id: LessonId) -> None:
        async with self._database.transaction() as conn:
            await _lesson(conn, instructor, lesson_id)

    async def add_section(
        self, instructor: User, course_id: CourseId, *, title: str, order: int | None
    ) -> Section:
        async with self._database.transaction() as conn:
            await _editable(conn, instructor, course_id)
            await self._courses.note_edit(conn, await known(conn, course_id))
            return await sections.insert(conn, course_id, title, order)

    async def change_section(
        self,
        instructor: User,
        section_id: SectionId,
        *,
        version: int | None,
        title: str | None,
        order: int | None,
    ) -> Section:
        """Rename or move; of many moves at once each is whole."""
        async with self._database.transaction() as conn:
            section = await _section(conn, instructor, section_id)
            require_version(section.version, version)
            await sections.update(conn, section, title=title, order=order)
            await self._courses.note_edit(conn, await known(conn, section.course_id))
            changed = await sections.by_id(conn, section_id)
            assert changed is not None  # noqa: S101 - locked above
            return changed

    async def delete_section(self, instructor: User, section_id: SectionId) -> None:
        """Take a section away, its lessons with it. Raises SessionLive while a class of it runs."""
        async with self._database.transaction() as conn:
            section = await _section(conn, instructor, section_id)
            for lesson in await lessons.of_course(conn, section.course_id):
                if lesson.section_id == section_id:
                    await _no_class_runs(conn, lesson.id)
            await sections.delete(conn, section)
            await self._note_edit(conn, section.course_id)

    # Lessons

    async def add_lesson(self, instructor: User, section_id: SectionId, new: NewLesson) -> Lesson:
        """Add a lesson; with a live one its class is planned in the same step."""
        async with self._database.transaction() as conn:
            section = await _section(conn, instructor, section_id)
            _check_class(new)
            upload = await _content(conn, instructor, new.type, new.content_url)
            lesson_id = await lessons.insert(
                conn,
                section_id,
                kind=new.type,
                title=new.title,
                preview=new.preview,
                published=new.published,
                available_from=new.available_from,
                order=new.order,
            )
            if upload is not None:
                await _attach(conn, lesson_id, upload)
            await self._note_edit(conn, section.course_id)
            planned = None
            if new.session is not None:
                planned = await self._scheduling.plan(
                    conn, instructor, section.course_id, lesson_id=lesson_id, plan=new.session
                )
            elif new.live_session_id is not None:
                session = await live_sessions.lock(conn, new.live_session_id)
                if session is None or session.course_id != section.course_id:
                    raise Invalid(("liveSessionId", "unknown"))
                await live_sessions.set_lesson(conn, session.id, lesson_id)
            lesson = await lessons.by_id(conn, lesson_id)
            assert lesson is not None  # noqa: S101 - inserted above
        if planned is not None:
            await self._scheduling.tell_planned(planned)
        return lesson

    async def view_lesson(self, viewer: User | None, lesson_id: LessonId) -> Lesson:
        async with self._database.connection() as conn:
            return (await open_lesson(conn, viewer, lesson_id)).lesson

    async def change_lesson(
        self,
        instructor: User,
        lesson_id: LessonId,
        *,
        version: int | None,
        title: str | None,
        preview: bool | None,
        published: bool | None,
        available_from: datetime | None,
        section_id: SectionId | None,
        order: int | None,
        content_url: str | None,
    ) -> Lesson:
        """Change or move, within the course."""
        async with self._database.transaction() as conn:
            lesson = await _lesson(conn, instructor, lesson_id)
            require_version(lesson.version, version)
            if section_id is not None:
                target = await sections.by_id(conn, section_id)
                if target is None or target.course_id != lesson.course_id:
                    raise Invalid(("sectionId", "unknown"))
            if section_id is not None or order is not None:
                await lessons.move(conn, lesson, section_id or lesson.section_id, order)
            upload = await _content(conn, instructor, lesson.type, content_url)
            if upload is not None and upload.key != lesson.content_url:
                await _attach(conn, lesson_id, upload)
                await lesson_progress.content_changed(conn, lesson_id)
            await lessons.update(
                conn,
                lesson_id,
                title=title,
                preview=preview,
                published=published,
                available_from=available_from,
            )
            await self._note_edit(conn, lesson.course_id)
            changed = await lessons.by_id(conn, lesson_id)
            assert changed is not None  # noqa: S101 - locked above
            return changed

    async def delete_lesson(self, instructor: User, lesson_id: LessonId) -> None:
        """Take a lesson away. Raises SessionLive while its class runs."""
        async with self._database.transaction() as conn:
            lesson = await _lesson(conn, instructor, lesson_id)
            await _no_class_runs(conn, lesson_id)
            await lessons.delete(conn, lesson)
            await self._note_edit(conn, lesson.course_id)


def _check_class(new: NewLesson) -> None:
    given = [one for one in (new.session, new.live_session_id) if one is not None]
    if new.type is LessonType.LIVE and len(given) != 1:
        raise Invalid(("session", "one_of_session_and_liveSessionId"))
    if new.type is not LessonType.LIVE and given:
        raise Invalid(("session", "wrong_type"))


async def _content(conn: Connection, instructor: User, kind: LessonType, key: str | None) -> Upload | None:
    """Return the caller's own upload of that key and of the lesson's kind. Raises Invalid."""
    if key is None:
        return None
    upload = await uploads.by_key(conn, key)
    if upload is None or upload.owner_id != instructor.id:
        raise Invalid(("contentUrl", "unknown"))
    if upload.purpose.value != kind.value:
        raise Invalid(("contentUrl", "wrong_type"))
    if not await uploads.take_into_use(conn, upload.id):
        current = await uploads.by_id(conn, upload.id) or upload  # it may have failed since it was read
        raise Invalid(("contentUrl", current.status))
    return upload


async def _attach(conn: Connection, lesson_id: LessonId, upload: Upload) -> None:
    video = await uploads.video(conn, upload.id)
    seconds = max(1, round(video.duration)) if video is not None else None
    await lessons.set_content(conn, lesson_id, upload.id, upload.key, seconds)


async def _no_class_runs(conn: Connection, lesson_id: LessonId) -> None:
    for session in await live_sessions.of_lesson(conn, lesson_id):
        if session.status in {SessionStatus.LIVE, SessionStatus.ENDING}:
            raise SessionLive(sessionId=str(session.id))


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


async def _section(conn: Connection, instructor: User, section_id: SectionId) -> Section:
    """Return a section as it is once its course is locked."""
    section = await sections.by_id(conn, section_id)
    if section is None:
        raise NotFound
    await _editable(conn, instructor, section.course_id)
    section = await sections.by_id(conn, section_id)
    if section is None:
        raise NotFound
    return section


async def _lesson(conn: Connection, instructor: User, lesson_id: LessonId) -> Lesson:
    """Return a lesson as it is once its course is locked."""
    lesson = await lessons.by_id(conn, lesson_id)
    if lesson is None:
        raise NotFound
    await _editable(conn, instructor, lesson.course_id)
    lesson = await lessons.by_id(conn, lesson_id)
    if lesson is None:
        raise NotFound
    return lesson
