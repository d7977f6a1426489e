"""Who may know of a class: one rule for its page, its status and its calendar entry; and who may enter."""

from liveserver.errors import CourseClosed, NotEnrolled, NotFound, Removed
from liveserver.models.accounts import Role, User
from liveserver.models.ids import LiveSessionId
from liveserver.models.live_sessions import LiveSession
from liveserver.storage import courses, enrollments, live_sessions
from liveserver.storage.postgres import Connection


async def readable(
    conn: Connection, user: User, session_id: LiveSessionId, *, also: Role | None = None
) -> LiveSession:
    """Return a session the caller takes part in.

    A foreign instructor and a stranger to a hidden course get NotFound; a student who could enrol gets
    NotEnrolled with the course to enrol in.
    """
    session = await live_sessions.by_id(conn, session_id)
    if session is None:
        raise NotFound
    await require_readable(conn, user, session, also=also)
    return session


async def enterable(conn: Connection, user: User, session_id: LiveSessionId) -> LiveSession:
    """Return a session the caller may enter when it runs. Raises as `readable` does, and Removed for who was
    put out of it for good, CourseClosed.
    """
    session = await readable(conn, user, session_id)
    if user.id not in session.staff:
        if await live_sessions.is_banned(conn, session_id, user.id):
            raise Removed
        if session.course_is_closed:
            raise CourseClosed
    return session


async def require_readable(conn: Connection, user: User, session: LiveSession, *, also: Role | None) -> None:
    """Raise unless the caller takes part, as `readable` does, of a row that is at hand."""
    if user.id in session.staff or (also is not None and user.role is also):
        return
    if user.role is not Role.STUDENT:
        raise NotFound
    if await enrollments.is_enrolled(conn, user.id, session.course_id):
        return
    existing = await enrollments.of_student(conn, user.id, session.course_id)
    if existing is not None and existing.removed_at is not None:
        raise Removed
    if not session.course_is_public:
        raise NotFound
    course = await courses.by_id(conn, session.course_id)
    price = course.price if course else 0
    raise NotEnrolled(courseId=str(session.course_id), price=price)
