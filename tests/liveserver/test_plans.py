"""The hottest statements use indexes: their plans are read, on tables large enough to matter."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from liveserver.embedded.postgres import Postgres
from liveserver.models.accounts import UserFilter
from liveserver.models.courses import CatalogueFilter, CourseSort
from liveserver.models.ids import uuid7
from liveserver.storage import catalogue, courses, enrollments, live_sessions, notifications, users
from liveserver.storage.migrating import migrate
from tests.statements import Recording

_FILL = """
INSERT INTO users (id, name, email, password_hash, role, status, locale, timezone)
SELECT uuidv7(), 'n' || n, 'u' || n || '@x.example', 'h',
    CASE WHEN n < 100 THEN 'instructor' ELSE 'student' END, 'active', 'en', 'UTC'
FROM generate_series(1, 20000) AS n;
INSERT INTO courses (id, instructor_id, title, description, price, currency, status, language)
SELECT uuidv7(), (SELECT id FROM users WHERE email = ('u' || 1 + n % 99 || '@x.example')::citext),
    'course ' || n, md5(n::text), n % 7, 'USD', 'approved', 'en' FROM generate_series(1, 5000) AS n;
INSERT INTO enrollments (id, student_id, course_id)
SELECT uuidv7(), u.id, c.id
FROM (SELECT id, row_number() OVER () AS n FROM users WHERE role = 'student') AS u,
    (SELECT id, row_number() OVER () AS n FROM courses) AS c WHERE c.n % 500 = u.n % 500;
INSERT INTO refresh_families (id, user_id, user_agent, address, expires_at)
SELECT uuidv7(), id, 'x', 'x', now() + interval '1 day' FROM users;
INSERT INTO live_sessions
    (id, course_id, title, start_time, timezone, duration, max_students, status, host_id)
SELECT uuidv7(), id, 'x', now() + interval '1 day', 'UTC', 60, 10, 'scheduled', instructor_id FROM courses;
INSERT INTO notifications (id, user_id, kind, facts, key)
SELECT uuidv7(), id, 'enrolled', '{}', 'k' FROM users;
ANALYZE;
"""


@pytest.fixture(scope="module")
async def tables(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    folder = tmp_path_factory.mktemp("plans")
    sockets = Path("/tmp") / f"plans-{uuid7().hex[-8:]}"  # noqa: S108 - a socket's path must be short
    server = Postgres(folder / "data", sockets, folder / "log")
    child = await server.start()
    try:
        await migrate(server.url)
        conn = await asyncpg.connect(server.url)
        await conn.execute(_FILL)
        yield conn
        await conn.close()
    finally:
        await child.stop()


def _scanned(plan: dict[str, Any]) -> set[str]:
    """Return the tables that are read from end to end."""
    found = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    for child in plan.get("Plans", []):
        found |= _scanned(child)
    return found


def _browsed(sort: CourseSort, words: str | None = None) -> Any:
    return lambda conn, _: catalogue.find(conn, CatalogueFilter(words=words, sort=sort), after=None, limit=21)


# What is asked of storage; `some` names an id out of the middle of each table.
HOT: dict[str, Callable[[Any, dict[str, Any]], Awaitable[Any]]] = {
    "catalogue, newest": _browsed(CourseSort.NEWEST),
    "catalogue, popular": _browsed(CourseSort.POPULAR),
    "catalogue, cheap": _browsed(CourseSort.PRICE_UP),
    "catalogue, search": _browsed(CourseSort.RELEVANCE, "qwertyzxc"),
    "course": lambda conn, some: courses.by_id(conn, some["courses"]),
    "login": lambda conn, some: users.login_state(conn, some["users"], some["refresh_families"]),
    "enrolled": lambda conn, some: enrollments.is_enrolled(conn, some["users"], some["courses"]),
    "session": lambda conn, some: live_sessions.by_id(conn, some["live_sessions"]),
    "open sessions": lambda conn, _: live_sessions.open_ones(conn),
    "classes of a person": lambda conn, some: live_sessions.live_with(conn, some["users"]),
    "notifications": lambda conn, some: notifications.of_user(conn, some["users"], before=None, limit=20),
    "accounts": lambda conn, _: users.find(conn, UserFilter(words="u15555@"), before=None, limit=21),
}
_SMALL = {"co_instructors", "lessons", "sections"}


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_reads_no_large_table_from_end_to_end(tables: Any, name: str) -> None:
    some = {
        table: await tables.fetchval(f"SELECT id FROM {table} OFFSET 77 LIMIT 1")
        for table in ("users", "courses", "refresh_families", "live_sessions")
    }
    recording = Recording(tables)
    await HOT[name](recording, some)
    assert recording.statements
    for statement, arguments in recording.statements:
        raw = await tables.fetchval("EXPLAIN (FORMAT JSON) " + statement, *arguments)
        plan = json.loads(raw)[0]["Plan"]
        assert not _scanned(plan) - _SMALL, json.dumps(plan, indent=1)[:3000]
