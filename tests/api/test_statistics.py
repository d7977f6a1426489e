"""Figures equal what is counted from the raw tables."""

import asyncio
from datetime import datetime
from itertools import pairwise

from tests.builders import Person, School


async def _held_class(school: School) -> tuple[Person, list[Person], str, str]:
    """A class of two seats that was attended, left, come back to, refused and ended."""
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(4)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    session = await school.session(teacher, course, seats=2)
    await school.enter(teacher, session)
    first = await school.enter(students[0], session)
    await school.enter(students[1], session)
    for one in students[2:]:
        assert (await school.join(one, session)).code == "session_full"
    await asyncio.sleep(1.2)
    await first.ask("seat.leave")
    await school.enter(students[2], session)
    await asyncio.sleep(0.5)
    await school.call("POST", f"/api/live-sessions/{session}/end", teacher)
    return teacher, students, course, session


async def test_the_figures_of_a_class_and_its_course(school: School) -> None:
    teacher, _, course, session = await _held_class(school)
    figures = (await school.call("GET", f"/api/live-sessions/{session}/stats", teacher)).body
    stays = await school.database.fetch(
        "SELECT joined_at, left_at FROM attendance_intervals WHERE session_id = $1 AND role = 'student'",
        session,
    )
    seconds = sum((one["left_at"] - one["joined_at"]).total_seconds() for one in stays)
    edges = sorted({edge for one in stays for edge in (one["joined_at"], one["left_at"])})
    at_once = [
        sum(1 for one in stays if one["joined_at"] <= a and one["left_at"] >= b) for a, b in pairwise(edges)
    ]
    assert figures["peak"] == max(at_once) == 2
    assert abs(figures["minutes"] - seconds / 60) < 0.02
    assert (figures["students"], figures["connections"], figures["reconnects"]) == (3, 3, 0)
    assert figures["refusedJoins"] == 2
    read = (await school.call("GET", f"/api/live-sessions/{session}", teacher)).body
    length = datetime.fromisoformat(read["endedAt"]) - datetime.fromisoformat(read["startedAt"])
    assert abs(figures["mean"] - seconds / length.total_seconds()) < 0.05

    figures = (await school.call("GET", f"/api/instructor/courses/{course}/stats", teacher)).body
    assert (figures["students"], figures["removed"], figures["sessionsHeld"]) == (4, 0, 1)
    report = (await school.call("GET", f"/api/live-sessions/{session}/attendance", teacher)).body
    mean = sum(one["percentOfSession"] for one in report["students"]) / 4
    assert abs(figures["attendance"] - mean) <= 2
    assert [one["completed"] for one in figures["lessons"]] == [0]


async def test_the_figures_of_the_school(school: School) -> None:
    admin = await school.login("admin@example.com")
    await asyncio.sleep(10)  # figures are kept for so long
    figures = (await school.call("GET", "/api/admin/stats", admin)).body
    count = school.database.fetchval
    assert sum(figures["users"].values()) == await count("SELECT count(*) FROM users")
    assert figures["users"]["admin"] == await count("SELECT count(*) FROM users WHERE role = 'admin'")
    assert figures["enrollments"] == await count("SELECT count(*) FROM enrollments WHERE removed_at IS NULL")
    assert sum(figures["courses"].values()) == await count(
        "SELECT count(*) FROM courses WHERE deleted_at IS NULL"
    )
    assert figures["liveNow"] == await count("SELECT count(*) FROM live_sessions WHERE status = 'live'")
    assert figures["certificates"] == await count(
        "SELECT count(*) FROM certificates WHERE revoked_at IS NULL"
    )
    assert figures["active7"] == await count("SELECT count(DISTINCT user_id) FROM refresh_families")
    assert figures["refusedJoins"] == await count("SELECT sum(refused_joins) FROM live_sessions")
    ended = await school.database.fetch("SELECT id FROM live_sessions WHERE status = 'ended'")
    peaks = [
        (await school.call("GET", f"/api/live-sessions/{one['id']}/stats", admin)).body["peak"]
        for one in ended
    ]
    assert figures["peakSeats"] == max(peaks) >= 2
    assert figures["asOf"]


async def test_sheets_open_in_arabic_and_run_nothing(school: School) -> None:
    admin = await school.login("admin@example.com")
    who = await school.register()
    await school.call("PATCH", "/api/users/me", who, json={"name": "=HYPERLINK('x') ليلى"})
    answer = await school.call("GET", f"/api/admin/users?q={who.email}&format=csv", admin)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    text = answer.body
    assert "'=HYPERLINK('x') ليلى" in text
    async with school.client.get(
        school.product.url() + "/api/admin/revenue?format=csv", headers=admin.auth
    ) as raw:
        assert (await raw.read()).startswith("\ufeffday,courseId".encode())
