"""The hottest statements use indexes: their plans are read, on tables large enough to matter."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from liveserver.embedded.postgres import Postgres
from liveserver.models.courses import CourseSort
from liveserver.models.ids import uuid7
from liveserver.storage import catalogue, courses
from liveserver.storage.migrating import migrate

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


_BROWSE = [None, None, None, None, None, 21]
HOT: dict[str, tuple[str, list[Any]]] = {
    "catalogue, newest": (catalogue.BROWSE + catalogue.ORDERS[CourseSort.NEWEST], _BROWSE),
    "catalogue, popular": (catalogue.BROWSE + catalogue.ORDERS[CourseSort.POPULAR], _BROWSE),
    "catalogue, cheap": (catalogue.BROWSE + catalogue.ORDERS[CourseSort.PRICE_UP], _BROWSE),
    "catalogue, search": (
        catalogue.SEARCH + catalogue.ORDERS[CourseSort.RELEVANCE],
        [*_BROWSE, "qwertyzxc"],
    ),
    "course": (courses.SELECT + " WHERE c.id = $1 AND ($2 OR c.deleted_at IS NULL)", ["courses", False]),
    "login": (
        "SELECT u.id FROM users u JOIN refresh_families f ON f.user_id = u.id WHERE u.id = $1 AND f.id = $2",
        ["users", "refresh_families"],
    ),
    "enrolled": (
        "SELECT 1 FROM enrollments WHERE student_id = $1 AND course_id = $2 AND removed_at IS NULL",
        ["users", "courses"],
    ),
    "session": (
        "SELECT v.id FROM live_sessions v JOIN courses c ON c.id = v.course_id WHERE v.id = $1",
        ["live_sessions"],
    ),
    "open sessions": (
        "SELECT v.id FROM live_sessions v WHERE v.status IN ('live', 'ending')",
        [],
    ),
    "notifications": (
        "SELECT id FROM notifications WHERE user_id = $1 ORDER BY id DESC LIMIT 20",
        ["users"],
    ),
    "accounts": (
        (
            "SELECT id FROM users"
            " WHERE search_fold(name || ' ' || email::text) LIKE '%' || like_literal($1) || '%'"
        ),
        ["u15555@"],
    ),
}
_SMALL = {"co_instructors", "lessons", "sections"}


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_reads_no_large_table_from_end_to_end(tables: Any, name: str) -> None:
    statement, wanted = HOT[name]
    arguments = [
        await tables.fetchval(f"SELECT id FROM {one} OFFSET 77 LIMIT 1")
        if one in {"users", "courses", "refresh_families", "live_sessions"}
        else one
        for one in wanted
    ]
    raw = await tables.fetchval("EXPLAIN (FORMAT JSON) " + statement, *arguments)
    plan = json.loads(raw)[0]["Plan"]
    assert not _scanned(plan) - _SMALL, json.dumps(plan, indent=1)[:3000]
