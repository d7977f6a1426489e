"""A database of the first version is brought up to date while that version serves on, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from liveserver.embedded.postgres import Postgres
from liveserver.models.courses import CatalogueFilter, CourseSort
from liveserver.models.ids import CourseId, uuid7
from liveserver.storage import catalogue, courses, lessons, live_sessions, migrating

FIRST = ("0001_accounts.sql", "0002_courses.sql", "0003_live_sessions.sql")
_DATA = """
INSERT INTO users (id, name, email, password_hash, role, status, locale, timezone)
SELECT uuidv7(), 'Person ' || n, 'p' || n || '@x.example', 'h',
    CASE WHEN n < 10 THEN 'instructor' ELSE 'student' END, 'active', 'ar', 'Africa/Cairo'
FROM generate_series(1, 500) AS n;
INSERT INTO courses (id, instructor_id, title, description, price, currency, status, language)
SELECT uuidv7(), (SELECT id FROM users WHERE email = ('p' || 1 + n % 9 || '@x.example')::citext),
    'دورة ' || n, '', 0, 'USD', 'approved', 'ar' FROM generate_series(1, 50) AS n;
INSERT INTO sections (id, course_id, title, position) SELECT uuidv7(), id, 'S', 1 FROM courses;
INSERT INTO lessons (id, section_id, type, title, position) SELECT uuidv7(), id, 'live', 'L', 1 FROM sections;
INSERT INTO enrollments (id, student_id, course_id)
SELECT uuidv7(), u.id, c.id FROM users u, courses c WHERE u.role = 'student' AND u.id::text < c.id::text;
INSERT INTO live_sessions (id, course_id, title, start_time, timezone, duration, max_students, status)
SELECT uuidv7(), id, 'Class', now() + interval '1 day', 'UTC', 60, 10, 'scheduled' FROM courses;
"""
# What the first version asks and writes.
_OLD_READ = """
SELECT c.id, u.name, (SELECT count(*) FROM enrollments e WHERE e.course_id = c.id AND e.removed_at IS NULL)
FROM courses c JOIN users u ON u.id = c.instructor_id WHERE c.status = 'approved' ORDER BY c.id DESC LIMIT 20
"""
_OLD_USER = """
INSERT INTO users (id, name, email, password_hash, role, status, locale, timezone)
VALUES ($1, 'New', $2, 'h', 'student', 'active', 'en', 'UTC')
"""
_OLD_ENROLLMENT = "INSERT INTO enrollments (id, student_id, course_id) VALUES ($1, $2, $3)"


@pytest.fixture
async def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, Any]]:
    """A server whose database is of the first version, with data."""
    sockets = Path("/tmp") / f"upgrade-{uuid7().hex[-8:]}"  # noqa: S108 - a socket's path must be short
    server = Postgres(tmp_path / "data", sockets, tmp_path / "log")
    child = await server.start()
    try:
        folder = tmp_path / "first"
        folder.mkdir()
        for name in FIRST:
            (folder / name).write_text((migrating._MIGRATIONS / name).read_text())
        with monkeypatch.context() as patched:
            patched.setattr(migrating, "_MIGRATIONS", folder)
            assert await migrating.migrate(server.url) == list(FIRST)
        conn = await asyncpg.connect(server.url)
        await conn.execute(_DATA)
        yield server.url, conn
        await conn.close()
    finally:
        await child.stop()


async def test_the_first_versions_data_is_kept_and_it_serves_on_meanwhile(old: tuple[str, Any]) -> None:
    url, conn = old
    before = await conn.fetch("SELECT course_id, count(*) AS n FROM enrollments GROUP BY 1")
    course = before[0]["course_id"]
    served, done = 0, asyncio.Event()

    async def serve() -> None:
        nonlocal served
        busy = await asyncpg.connect(url, server_settings={"statement_timeout": "3000"})
        while not done.is_set():
            assert len(await busy.fetch(_OLD_READ)) == 20
            student = uuid7()
            await busy.execute(_OLD_USER, student, f"new{served}@x.example")
            await busy.execute(_OLD_ENROLLMENT, uuid7(), student, course)
            served += 1
        await busy.close()

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0.2)
    applied = await migrating.migrate(url)
    await asyncio.sleep(0.2)
    done.set()
    await serving
    assert len(applied) >= 9
    assert served > 10
    assert await migrating.migrate(url) == []

    for row in before:
        expected = row["n"] + (served if row["course_id"] == course else 0)
        found = await courses.by_id(conn, CourseId(row["course_id"]))
        assert found is not None
        assert (found.student_count, found.lesson_count) == (expected, 1)
    everything = await catalogue.find(
        conn, CatalogueFilter(words="دوره 7", sort=CourseSort.RELEVANCE), after=None, limit=5
    )
    assert everything[0][0].title == "دورة 7"
    lesson = (await lessons.of_course(conn, CourseId(course)))[0]
    assert (lesson.published, lesson.version, lesson.order) == (True, 1, 1)
    planned = (await live_sessions.of_course(conn, CourseId(course)))[0]
    owner = await conn.fetchval("SELECT instructor_id FROM courses WHERE id = $1", course)
    assert planned.host_id == owner


_HELD = """
SELECT EXISTS (SELECT FROM pg_locks
WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'enrollments'::regclass)
"""


async def test_a_migration_gives_way_to_a_query_that_waits_for_it(old: tuple[str, Any]) -> None:
    url, conn = old
    busy = await asyncpg.connect(url)
    async with busy.transaction():
        await busy.fetch("SELECT id FROM courses")
        migrating_on = asyncio.create_task(migrating.migrate(url))
        for _ in range(500):
            if await conn.fetchval(_HELD):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("no migration held the enrolments while it waited for the courses")
        # Longer than PostgreSQL waits before it looks for a deadlock, once: the migration would have looked
        # in vain, and the query that comes now would be the one to be refused.
        await asyncio.sleep(1.2)
        assert await busy.fetchval("SELECT count(*) FROM enrollments") > 0
        assert not migrating_on.done()
    assert "0005_course_editing.sql" in await migrating_on
    await busy.close()


async def test_a_migration_that_stays_blocked_says_what_to_do(
    old: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, conn = old
    monkeypatch.setattr(migrating, "_PATIENCE", 0.5)
    async with conn.transaction():
        await conn.fetch("SELECT id FROM courses")
        with pytest.raises(migrating.MigrationBlocked, match=r"0005_course_editing.*pg_stat_activity"):
            await asyncio.wait_for(migrating.migrate(url), 10)
    assert (await migrating.migrate(url))[0] == "0005_course_editing.sql"


async def test_history_that_was_edited_stops_the_upgrade(
    old: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = old
    edited = tmp_path / "edited"
    edited.mkdir()
    for name in FIRST:
        (edited / name).write_text((migrating._MIGRATIONS / name).read_text() + "\n-- changed\n")
    monkeypatch.setattr(migrating, "_MIGRATIONS", edited)
    with pytest.raises(migrating.MigrationChanged, match="0001_accounts"):
        await migrating.migrate(url)
