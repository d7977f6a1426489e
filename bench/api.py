"""What a request costs the web process, beside the least it could cost with the same SQL.

A product with 10 000 courses, 100 000 users and 1 000 000 enrolments, on real PostgreSQL and Valkey; in the
same run a bare aiohttp handler with the same statements by hand that writes JSON (the floor). One generator
keeps a few connections busy. Rates and latencies are of this machine and moment; the ratios are what counts.

    python -m bench.api [seconds a figure]
"""

import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import psutil
from aiohttp import web

from bench.report import keep, verdict
from liveserver.config import Running
from liveserver.models.courses import CourseSort
from liveserver.models.ids import LiveSessionId, UserId
from liveserver.storage import catalogue, courses, enrollments, live_sessions, users
from liveserver.storage.redis_client import connect
from liveserver.storage.seats import keys_of
from tests.builders import Person, School
from tests.product import UNHURRIED, Product, free_ports
from tests.statements import Recording

COURSES, USERS, ENROLLMENTS = 10_000, 100_000, 1_000_000
CONNECTIONS = 16


async def fill(school: School) -> None:
    """Make the figures' data in the database itself."""
    database = school.database
    teacher = await school.register("instructor")
    await database.execute(
        "INSERT INTO users (id, name, email, password_hash, role, status, locale, timezone)"
        " SELECT uuidv7(), 'Student ' || n, 's' || n || '@load.example', password_hash, 'student', 'active',"
        " 'en', 'UTC' FROM generate_series(1, $2) AS n, users WHERE users.id = $1",
        UUID(teacher.id),
        USERS,
    )
    await database.execute(
        "INSERT INTO courses (id, instructor_id, title, description, price, currency, status, language)"
        " SELECT uuidv7(), $1, (ARRAY['drawing', 'algebra', 'الرسم', 'physics', 'التاريخ'])[1 + n % 5]"
        " || ' course ' || n, repeat('A course of many lessons. ', 4), n % 5 * 1000, 'USD', 'approved',"
        " CASE n % 2 WHEN 0 THEN 'ar' ELSE 'en' END FROM generate_series(1, $2) AS n",
        UUID(teacher.id),
        COURSES,
    )
    await database.execute(
        "INSERT INTO enrollments (id, student_id, course_id)"
        " SELECT uuidv7(), u.id, c.id FROM"
        " (SELECT id, row_number() OVER (ORDER BY id) AS n FROM courses WHERE description <> '') AS c,"
        " generate_series(0, $1 - 1) AS k JOIN LATERAL (SELECT 1) AS one ON true,"
        " (SELECT id, row_number() OVER (ORDER BY id) AS n FROM users WHERE role = 'student') AS u"
        " WHERE u.n = (c.n * 97 + k * 1009) % $2 + 1",
        ENROLLMENTS // COURSES,
        USERS,
    )
    await database.execute("ANALYZE")


# The load


def _drive(port: int, requests: list[bytes], seconds: float, connections: int, out: Any) -> None:
    """Keep connections busy with requests in turn; put (seconds, latencies, statuses) into `out`."""

    async def one(deadline: float, latencies: list[float], statuses: dict[int, int], first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        n = first
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            writer.write(requests[n % len(requests)])
            n += connections
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 : head.index(b"\r", at)]) if at >= 0 else 0
            if length and status != 304:
                await reader.readexactly(length)
            latencies.append(time.perf_counter() - began)
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    async def all_of() -> None:
        latencies: list[float] = []
        statuses: dict[int, int] = {}
        began = time.perf_counter()
        await asyncio.gather(
            *(one(began + seconds, latencies, statuses, first) for first in range(connections))
        )
        out.put((time.perf_counter() - began, latencies, statuses))

    asyncio.run(all_of())


def _get(path: str, headers: dict[str, str] | None = None, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if method == "POST":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def measure(
    pid: int, port: int, requests: list[bytes], seconds: float, connections: int = CONNECTIONS
) -> dict[str, Any]:
    """Return rate, p50 and p99 in ms, CPU of the process in microseconds a request, and the statuses."""
    process = psutil.Process(pid)
    context = multiprocessing.get_context("spawn")
    for warm in (True, False):
        out: Any = context.Queue()
        before = sum(process.cpu_times()[:2])
        driver = context.Process(
            target=_drive, args=(port, requests, 1.0 if warm else seconds, connections, out)
        )
        driver.start()
        took, latencies, statuses = await asyncio.to_thread(out.get)
        driver.join()
    refused = {status: count for status, count in statuses.items() if status >= 400}
    if refused:
        raise SystemExit(f"a refusal costs little and proves nothing: {refused}")
    cpu = sum(process.cpu_times()[:2]) - before
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "rate": len(latencies) / took,
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
        "cpu_us": cpu / len(latencies) * 1e6,
        "statuses": statuses,
    }


# The floor


Statements = list[tuple[str, tuple[Any, ...]]]


async def _asked_by_join(school: School, student: Person, session: str) -> Statements:
    """Return what our join asks PostgreSQL, word for word."""
    conn: Any = Recording(school.database)
    user, at = UserId(UUID(student.id)), LiveSessionId(UUID(session))
    family = await school.database.fetchval("SELECT id FROM refresh_families WHERE user_id = $1", user)
    await users.login_state(conn, user, family)
    row = await live_sessions.by_id(conn, at)
    assert row is not None
    await enrollments.is_enrolled(conn, user, row.course_id)
    await live_sessions.is_banned(conn, at, user)
    statements: Statements = conn.statements
    return statements


def _floor(
    port: int, url: str, redis_url: str, session: str, epoch: int, joins: dict[str, Statements]
) -> None:
    """A process with nothing but the statements, the script call and aiohttp."""

    async def serve() -> None:
        pool = await asyncpg.create_pool(url, min_size=4, max_size=20, reset=_nothing)
        redis = connect(redis_url, 32)
        keys = keys_of(UUID(session))  # type: ignore[arg-type]
        listing = catalogue.BROWSE + catalogue.ORDERS[CourseSort.NEWEST]
        reading = courses.SELECT + " WHERE c.id = $1 AND ($2 OR c.deleted_at IS NULL)"

        def present(row: Any) -> dict[str, Any]:
            return {key: str(value) for key, value in row.items()}

        async def catalogue_page(_request: web.Request) -> web.Response:
            rows = await pool.fetch(listing, None, None, None, None, None, 21)
            return web.json_response({"items": [present(row) for row in rows[:20]]})

        async def course_page(request: web.Request) -> web.Response:
            row = await pool.fetchrow(reading, UUID(request.match_info["course"]), False)
            return web.json_response(present(row))

        async def not_changed(_request: web.Request) -> web.Response:
            return web.Response(status=304)

        async def join(request: web.Request) -> web.Response:
            user = request.query["user"]
            async with pool.acquire() as conn:
                for statement, arguments in joins[user]:
                    await conn.fetchrow(statement, *arguments)
            await redis.fcall("seat_join", len(keys), *keys, str(epoch), user, "student", "0")
            return web.json_response({"ok": True})

        app = web.Application()
        app.router.add_get("/catalogue", catalogue_page)
        app.router.add_get("/course/{course}", course_page)
        app.router.add_get("/304", not_changed)
        app.router.add_post("/join", join)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    import uvloop  # noqa: PLC0415 - in the floor's own process

    uvloop.run(serve())


async def _nothing(_conn: object) -> None:
    """As the product: nothing to reset."""


# The figures


def _web_pid(product: Product) -> int:
    for child in psutil.Process(product.process.pid).children(recursive=True):
        if "liveserver" in child.cmdline() and "web" in child.cmdline():
            return child.pid
    raise AssertionError("no web process")


async def figures(school: School, product: Product, seconds: float) -> dict[str, Any]:
    teacher = await school.register("instructor")
    course = await school.course(teacher)
    students = await school.students(400)
    await school.enroll(students, course)
    session = await school.session(teacher, course, seats=500)
    epoch = await school.database.fetchval(
        "SELECT seat_epoch FROM live_sessions WHERE id = $1", UUID(session)
    )
    running = Running.model_validate_json((product.state / "run.json").read_text())
    port = free_ports(1)
    joins = {one.id: await _asked_by_join(school, one, session) for one in students}
    floor = multiprocessing.get_context("spawn").Process(
        target=_floor,
        args=(port, running.database_url, running.redis_url, session, epoch, joins),
        daemon=True,
    )
    floor.start()
    await _listening(port)
    shelf = [row["id"] for row in await school.database.fetch("SELECT id FROM courses LIMIT 500")]
    polls = await _polls(school, students[:200], session)
    pairs: dict[str, tuple[list[bytes], list[bytes]]] = {
        "catalogue": ([_get("/api/courses")], [_get("/catalogue")]),
        "course page": (
            [_get(f"/api/courses/{one}") for one in shelf],
            [_get(f"/course/{one}") for one in shelf],
        ),
        "status poll, ETag": (polls, [_get("/304")]),
        "join": (
            [_get(f"/api/live-sessions/{session}/join", one.auth, "POST") for one in students],
            [_get(f"/join?user={one.id}", None, "POST") for one in students],
        ),
    }
    web_pid, found = _web_pid(product), {}
    try:
        for name, (ours, bare) in pairs.items():
            assert floor.pid is not None
            least = await measure(floor.pid, port, bare, seconds)
            mine = await measure(web_pid, product.port, ours, seconds)
            found[name] = {"ours": mine, "floor": least, "ratio": mine["rate"] / least["rate"]}
    finally:
        floor.terminate()
    admin = await school.login("admin@example.com")
    began = time.perf_counter()
    assert (await school.call("GET", "/api/admin/stats", admin)).status == 200
    found["admin stats"] = {"ms": (time.perf_counter() - began) * 1000}
    return found


async def _polls(school: School, students: list[Person], session: str) -> list[bytes]:
    polls = []
    for one in students:
        path = f"/api/live-sessions/{session}/status"
        answer = await school.call("GET", path, one)
        polls.append(_get(path, {**one.auth, "If-None-Match": answer.headers["ETag"]}))
    return polls


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("the floor did not start")


async def _run(product: Product, seconds: float) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client:
        school = await School.open(product, client)
        began = time.perf_counter()
        await fill(school)
        took = time.perf_counter() - began
        print(f"{COURSES} courses, {USERS} users, {ENROLLMENTS} enrolments in {took:.0f} s")
        found = await figures(school, product, seconds)
        await school.close()
        return found


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    with tempfile.TemporaryDirectory(prefix="bench-api-") as folder:
        settings = {**UNHURRIED, "LIVE_AUTH__ACCESS_MINUTES": "15", "LIVE_LOG__LEVEL": "warning"}
        with Product(Path(folder) / "state", settings=settings) as product:
            found = asyncio.run(_run(product, seconds))
    targets = {"catalogue": 0.6, "course page": 0.6, "status poll, ETag": 0.6, "join": 1 / 3}
    heads = ("req/s", "p50 ms", "p99 ms", "CPU us", "floor/s", "ratio", "target")
    print(" " * 20, *(f"{one:>8}" for one in heads))
    for name, target in targets.items():
        ours, floor = found[name]["ours"], found[name]["floor"]
        values = (ours["rate"], ours["p50_ms"], ours["p99_ms"], ours["cpu_us"], floor["rate"])
        ratio = found[name]["ratio"]
        print(
            f"{name:>20}",
            *(f"{one:8.2f}" for one in (*values, ratio, target)),
            verdict(ratio, target, at_least=True),
            ours["statuses"],
        )
    print(f"{'admin stats':>20} {found['admin stats']['ms']:.0f} ms")
    stamp = (datetime.now(UTC) + timedelta()).isoformat(timespec="seconds")
    keep("api", {"at": stamp, "cores": os.cpu_count(), **found})


if __name__ == "__main__":
    main()
