"""The demo school: six accounts, one course, one class of two seats that starts now at every run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from liveserver.config import Running, Settings
from liveserver.models.accounts import AccountStatus, Role, User
from liveserver.models.courses import CourseStatus, LessonType
from liveserver.models.ids import CourseId, UserId
from liveserver.models.live_sessions import Plan, SessionStatus
from liveserver.services.passwords import PasswordHashing
from liveserver.services.scheduling import plan_of
from liveserver.storage import (
    attendance,
    courses,
    enrollments,
    lessons,
    live_sessions,
    sections,
    users,
)
from liveserver.storage.postgres import Connection, Database

PASSWORD = "liveserver-demo"  # noqa: S105 - printed at every start; `serve` without --demo has none
_SEATS, _MINUTES = 2, 120
_PEOPLE = (
    ("admin@example.com", "Mona Admin", Role.ADMIN),
    ("instructor@example.com", "Omar Haddad", Role.INSTRUCTOR),
    ("instructor2@example.com", "Leila Mansour", Role.INSTRUCTOR),
    ("student1@example.com", "Sara Ali", Role.STUDENT),
    ("student2@example.com", "يوسف خالد", Role.STUDENT),
    ("student3@example.com", "Nour Adel", Role.STUDENT),
)
_COURSE = "Light and shadow: drawing for beginners"
_LESSON = "Live class: a first sketch"


def banner() -> list[str]:
    """Return the lines that tell a newcomer how to go on."""
    return [
        "",
        f"  Demo accounts, password {PASSWORD}:",
        *(f"    {email:<26} {role}" for email, _, role in _PEOPLE),
        "",
        f"  Demo class with {_SEATS} seats, starting now: sign in as instructor2@example.com (who teaches",
        "  it) or instructor@example.com (who helps) in one window, as a student in another. A demo class",
        "  that is still running when the server stops is ended, and a new one planned.",
    ]


async def prepare(settings: Settings, running: Running) -> None:
    """Make what is missing of the demo school and put its class to now; what is there is kept."""
    database = await Database.open(running.database_url, settings.database.pool)
    try:
        people = await _people(database)
        async with database.transaction() as conn:
            course = await _course(conn, people)
            await _class_now(conn, course, people["instructor2@example.com"].id)
    finally:
        await database.close()


async def _people(database: Database) -> dict[str, User]:
    found: dict[str, User] = {}
    hashing = PasswordHashing()
    try:
        password_hash = await hashing.hash(PASSWORD)
    finally:
        hashing.close()
    async with database.transaction() as conn:
        for email, name, role in _PEOPLE:
            known = await users.by_email(conn, email)
            user = known[0] if known else None
            if user is None:
                user = await users.insert(
                    conn,
                    name=name,
                    email=email,
                    password_hash=password_hash,
                    role=role,
                    status=AccountStatus.ACTIVE,
                    locale="en",
                    timezone="Africa/Cairo",
                )
            assert user is not None  # noqa: S101 - inserted or known
            found[email] = user
    return found


async def _course(conn: Connection, people: dict[str, User]) -> CourseId:
    teacher = people["instructor2@example.com"]
    taught = await courses.taught_by(conn, teacher.id, status=None, deleted=False, before=None, limit=100)
    for course in taught:
        if course.title == _COURSE:
            return course.id
    course_id = await courses.insert(
        conn,
        teacher.id,
        {
            "title": _COURSE,
            "description": "A pencil, some paper and an hour: lines, volume and light. "
            "In the live class we draw a first sketch together.",
            "price": 0,
            "currency": "USD",
            "language": "en",
            "sequential": False,
            "late_after": 5,
            "early_before": 5,
        },
    )
    section = await sections.insert(conn, course_id, "Getting started", None)
    await lessons.insert(conn, section.id, kind=LessonType.LIVE, title=_LESSON, preview=False)
    await courses.set_status(conn, course_id, CourseStatus.APPROVED)
    await courses.add_co_instructor(conn, course_id, people["instructor@example.com"].id)
    for email, user in people.items():
        if email.startswith("student"):
            await enrollments.insert(conn, user.id, course_id)
    return course_id


async def _class_now(conn: Connection, course_id: CourseId, host: UserId) -> None:
    """Move the class that waits to now; end one the last run left open; else plan a new one."""
    now = datetime.now(UTC)
    lesson = (await lessons.of_course(conn, course_id))[0]
    for session in await live_sessions.of_lesson(conn, lesson.id):
        if session.status is SessionStatus.SCHEDULED and not session.is_missed(now):
            plan = replace(plan_of(session), start_time=now)
            await live_sessions.update(conn, session.id, plan, session.lesson_id)
            return
        if session.status in {SessionStatus.LIVE, SessionStatus.ENDING}:
            await live_sessions.mark_ending(conn, session.id)
            ended_at = await attendance.last_seen(conn, session.id) or now
            await live_sessions.mark_ended(conn, session.id, ended_at)
            await attendance.finalise(conn, session.id, ended_at)
    plan = Plan(
        title=_LESSON,
        start_time=now - timedelta(seconds=1),
        timezone="Africa/Cairo",
        duration=_MINUTES,
        max_students=_SEATS,
    )
    await live_sessions.insert(conn, course_id, plan, host=host, lesson_id=lesson.id)
