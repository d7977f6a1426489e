"""Every route and every kind of caller: the answers, written by hand, walked cell by cell.

Callers: - nobody, S0 a student not enrolled, S+ enrolled, IO the owner, CO a co-instructor, IX another
instructor, AD an admin; XX a disabled account. A route without a row fails the test.
"""

import re
from typing import Any

import pytest

import api
from api.contract import Route
from liveserver.models.ids import uuid7
from tests.builders import Person, School

# Routes of later issues are named where they are due; until then they answer as if they did not exist.
LATER = (
    ("POST", "/api/live-sessions/{session}/waitlist"),
    ("POST", "/api/whip/{session}"),
    ("GET", "/api/recordings"),
)

_ANY_ID = re.compile(r"{\w+}|(?<=certificates/)0+")
WHO = ("-", "S0", "S+", "IO", "CO", "IX", "AD", "XX")
ANYBODY = (200,) * 8
# method, path, body, answers in the order of WHO. The course is public, the session live.
MATRIX: list[tuple[str, str, Any, tuple[Any, ...]]] = [
    ("GET", "/api/health", None, ANYBODY),
    ("GET", "/api/openapi.json", None, ANYBODY),
    ("POST", "/api/auth/register", {}, (422,) * 8),
    ("POST", "/api/auth/login", {}, (422,) * 8),
    ("POST", "/api/auth/refresh", {}, (401,) * 8),
    ("POST", "/api/auth/password/forgot", {"email": "a@b.co"}, (409,) * 8),
    ("POST", "/api/auth/password/reset", {"token": "x", "password": "a-long-passphrase-77"}, (409,) * 8),
    ("POST", "/api/auth/email/confirm", {"token": "x"}, (409,) * 8),
    ("GET", "/api/auth/me", None, (401, 200, 200, 200, 200, 200, 200, 403)),
    ("GET", "/api/users/me", None, (401, 200, 200, 200, 200, 200, 200, 403)),
    ("PATCH", "/api/users/me", {"timezone": "Africa/Cairo"}, (401, 200, 200, 200, 200, 200, 200, 403)),
    ("GET", "/api/avatars/{unknown}/{unknown}", None, (302,) * 8),
    ("GET", "/api/auth/sessions", None, (401, 200, 200, 200, 200, 200, 200, 403)),
    ("DELETE", "/api/auth/sessions/{unknown}", None, (401, 404, 404, 404, 404, 404, 404, 403)),
    ("GET", "/api/instructors/me", None, (401, 403, 403, 200, 200, 200, 403, 403)),
    ("PATCH", "/api/instructors/me", {"headline": "x"}, (401, 403, 403, 200, 200, 200, 403, 403)),
    ("GET", "/api/notifications", None, (401, 200, 200, 200, 200, 200, 200, 403)),
    ("POST", "/api/notifications/read/{unknown}", None, (401, 404, 404, 404, 404, 404, 404, 403)),
    ("POST", "/api/notifications/read-all", None, (401, 204, 204, 204, 204, 204, 204, 403)),
    ("GET", "/api/certificates/mine", None, (401, 200, 200, 403, 403, 403, 403, 403)),
    ("GET", "/api/certificates/00000000000000000000", None, (404,) * 8),
    ("GET", "/api/users/me/courses", None, (401, 200, 200, 403, 403, 403, 403, 403)),
    ("GET", "/api/courses", None, (200, 200, 200, 200, 200, 200, 200, 403)),
    ("GET", "/api/courses/{course}", None, (200, 200, 200, 200, 200, 200, 200, 403)),
    ("GET", "/api/courses/{course}/sections", None, (200, 200, 200, 200, 200, 200, 200, 403)),
    ("GET", "/api/sections/{section}/lessons", None, (200, 200, 200, 200, 200, 200, 200, 403)),
    (
        "POST",
        "/api/courses/{course}/sections",
        {"title": "x"},
        (401, 403, 403, 201, 201, 403, 403, 403),
    ),
    (
        "POST",
        "/api/sections/{section}/lessons",
        {"type": "file", "title": "x"},
        (401, 403, 403, 201, 201, 403, 403, 403),
    ),
    ("POST", "/api/instructor/courses", {"title": "x"}, (401, 403, 403, 201, 201, 201, 403, 403)),
    ("GET", "/api/instructor/courses", None, (401, 403, 403, 200, 200, 200, 403, 403)),
    ("GET", "/api/instructor/courses/{course}", None, (401, 403, 403, 200, 200, 404, 403, 403)),
    ("POST", "/api/instructor/courses/{course}/submit", None, (401, 403, 403, 409, 403, 404, 403, 403)),
    (
        "PATCH",
        "/api/instructor/courses/{course}",
        {"description": "y"},
        (401, 403, 403, 200, 200, 404, 403, 403),
    ),
    ("PATCH", "/api/instructor/courses/{course}", {"price": 0}, (401, 403, 403, 200, 403, 404, 403, 403)),
    # A class of it runs: the owner is told so, everybody else has no business with it.
    ("DELETE", "/api/instructor/courses/{course}", None, (401, 403, 403, 409, 403, 404, 403, 403)),
    ("POST", "/api/instructor/courses/{course}/restore", None, (401, 403, 403, 200, 404, 404, 200, 403)),
    (
        "PUT",
        "/api/instructor/courses/{course}/co-instructors/{helper}",
        None,
        (401, 403, 403, 204, 403, 404, 403, 403),
    ),
    (
        "DELETE",
        "/api/instructor/courses/{course}/co-instructors/{unknown}",
        None,
        (401, 403, 403, 204, 403, 404, 403, 403),
    ),
    ("GET", "/api/instructor/courses/{course}/students", None, (401, 403, 403, 200, 200, 404, 403, 403)),
    (
        "DELETE",
        "/api/instructor/courses/{course}/students/{unknown}",
        None,
        (401, 403, 403, 404, 404, 404, 403, 403),
    ),
    (
        "PUT",
        "/api/instructor/courses/{course}/students/{student}",
        None,
        (401, 403, 403, 204, 204, 404, 403, 403),
    ),
    ("PATCH", "/api/sections/{section}", {"title": "y"}, (401, 403, 403, 200, 200, 403, 403, 403)),
    ("PATCH", "/api/sections/{hidden_section}", {"title": "y"}, (401, 403, 403, 200, 404, 404, 403, 403)),
    # Gone once the owner has deleted them.
    ("DELETE", "/api/sections/{spare_section}", None, (401, 403, 403, 204, 404, 404, 403, 403)),
    ("GET", "/api/lessons/{lesson}", None, (401, 403, 200, 200, 200, 403, 200, 403)),
    ("GET", "/api/lessons/{preview}", None, (200, 200, 200, 200, 200, 200, 200, 403)),
    ("GET", "/api/lessons/{hidden_lesson}", None, (404, 404, 404, 200, 404, 404, 200, 403)),
    ("PATCH", "/api/lessons/{lesson}", {"title": "y"}, (401, 403, 403, 200, 200, 403, 403, 403)),
    ("DELETE", "/api/lessons/{spare_lesson}", None, (401, 403, 403, 204, 404, 404, 403, 403)),
    ("GET", "/api/courses/{course}/progress", None, (401, 403, 200, 200, 200, 403, 200, 403)),
    ("GET", "/api/courses/{draft}/progress", None, (401, 404, 404, 200, 404, 404, 200, 403)),
    ("GET", "/api/progress/course/{course}", None, (401, 403, 200, 200, 200, 403, 200, 403)),
    ("POST", "/api/progress/lesson/{lesson}/complete", None, (401, 403, 200, 403, 403, 403, 403, 403)),
    ("GET", "/api/live-sessions", None, (401, 200, 200, 200, 200, 200, 200, 403)),
    (
        "POST",
        "/api/live-sessions",
        {
            "courseId": "{course}",
            "title": "x",
            "startTime": "2030-01-01T09:00:00Z",
            "duration": 30,
            "maxStudents": 5,
        },
        (401, 403, 403, 201, 201, 404, 403, 403),
    ),
    ("GET", "/api/live-sessions/{session}", None, (401, 403, 200, 200, 200, 404, 200, 403)),
    ("PATCH", "/api/live-sessions/{session}", {"title": "y"}, (401, 403, 403, 200, 200, 404, 403, 403)),
    ("POST", "/api/live-sessions/{session}/start", None, (401, 403, 403, 200, 200, 404, 403, 403)),
    ("POST", "/api/live-sessions/{session}/cancel", None, (401, 403, 403, 409, 409, 404, 403, 403)),
    ("POST", "/api/live-sessions/{session}/join", None, (401, 403, 200, 200, 200, 404, 403, 403)),
    ("POST", "/api/live-sessions/{session}/media-key", None, (401, 403, 201, 201, 201, 404, 403, 403)),
    ("GET", "/api/live-sessions/{session}/status", None, (401, 403, 200, 200, 200, 404, 200, 403)),
    ("GET", "/api/live-sessions/{session}/attendance", None, (401, 403, 403, 200, 200, 404, 200, 403)),
    ("GET", "/api/live-sessions/{session}/attendance/mine", None, (401, 403, 200, 403, 403, 403, 403, 403)),
    ("POST", "/api/live-sessions/{session}/leave", None, (401, 403, 204, 204, 204, 404, 403, 403)),
    ("GET", "/api/admin/courses", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    ("PATCH", "/api/admin/courses/{course}/approve", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    ("PATCH", "/api/admin/courses/{draft}/reject", {"reason": "x"}, (401, 403, 403, 403, 403, 403, 409, 403)),
    (
        "POST",
        "/api/uploads/signed-url",
        {"purpose": "file", "fileName": "a.pdf", "contentType": "application/pdf", "size": 9},
        (401, 403, 403, 201, 201, 201, 403, 403),
    ),
    (
        "POST",
        "/api/uploads/signed-url",
        {"purpose": "avatar", "fileName": "a.png", "contentType": "image/png", "size": 9},
        (401, 201, 201, 201, 201, 201, 201, 403),
    ),
    ("GET", "/api/uploads/{unknown}", None, (401, 404, 404, 404, 404, 404, 404, 403)),
    ("POST", "/api/uploads/{unknown}/complete", None, (401, 404, 404, 404, 404, 404, 404, 403)),
    ("DELETE", "/api/uploads/{unknown}", None, (401, 404, 404, 404, 404, 404, 404, 403)),
    # 409: nothing was uploaded for it, or it is no video; who may not open it is not even told that.
    ("GET", "/api/lessons/{lesson}/file", None, (401, 403, 409, 409, 409, 403, 409, 403)),
    ("GET", "/api/lessons/{lesson}/video", None, (401, 403, 409, 409, 409, 403, 409, 403)),
    ("GET", "/api/videos/{lesson}/stream", None, (401, 403, 409, 409, 409, 403, 409, 403)),
    ("GET", "/api/videos/{preview}/stream", None, (409, 409, 409, 409, 409, 409, 409, 403)),
    (
        "POST",
        "/api/videos/{lesson}/track",
        {"playbackId": "{unknown}", "seq": 1, "ranges": [[0, 5]], "position": 5},
        (401, 403, 404, 403, 403, 403, 403, 403),
    ),
    ("DELETE", "/api/playbacks/{unknown}", None, (401, 404, 404, 404, 404, 404, 404, 403)),
    ("GET", "/api/playbacks/{unknown}/master.m3u8?t=forged-token", None, (401,) * 8),
    ("GET", "/api/playbacks/{unknown}/{rendition}/index.m3u8?t=forged-token", None, (401,) * 8),
    ("GET", "/api/playbacks/{unknown}/{rendition}/{number}.ts?t=forged-token", None, (401,) * 8),
    ("GET", "/api/playbacks/{unknown}/key?t=forged-token", None, (401,) * 8),
    # 409: this product has no payment provider.
    (
        "POST",
        "/api/payments/checkout",
        {"courseId": "{course}"},
        (401, 409, 409, 403, 403, 403, 403, 403),
    ),
    ("POST", "/api/payments/webhook", None, (404,) * 8),
    ("GET", "/api/payments/history", None, (401, 200, 200, 200, 200, 200, 200, 403)),
    ("GET", "/api/admin/orders", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    ("POST", "/api/admin/orders/{unknown}/accept", None, (401, 403, 403, 403, 403, 403, 404, 403)),
    ("GET", "/api/admin/revenue", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    (
        "POST",
        "/api/instructor/courses/{course}/coupons",
        {"code": "HALF", "percent": 50},
        (401, 403, 403, 201, 403, 404, 403, 403),
    ),
    ("GET", "/api/instructor/courses/{course}/coupons", None, (401, 403, 403, 200, 403, 404, 403, 403)),
    (
        "DELETE",
        "/api/instructor/courses/{course}/coupons/{unknown}",
        None,
        (401, 403, 403, 404, 403, 404, 403, 403),
    ),
    ("GET", "/api/admin/stats", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    ("GET", "/api/instructor/courses/{course}/stats", None, (401, 403, 403, 200, 200, 404, 403, 403)),
    ("GET", "/api/live-sessions/{session}/stats", None, (401, 403, 403, 200, 200, 404, 200, 403)),
    (
        "POST",
        "/api/admin/webhooks",
        {"url": "https://example.org/hook", "events": ["session.started"]},
        (401, 403, 403, 403, 403, 403, 201, 403),
    ),
    ("GET", "/api/admin/webhooks", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    ("DELETE", "/api/admin/webhooks/{unknown}", None, (401, 403, 403, 403, 403, 403, 404, 403)),
    (
        "GET",
        "/api/admin/webhooks/{unknown}/deliveries",
        None,
        (401, 403, 403, 403, 403, 403, 404, 403),
    ),
    ("GET", "/api/certificates/00000000000000000000/pdf", None, (404,) * 8),
    (
        "PATCH",
        "/api/admin/certificates/00000000000000000000/revoke",
        {"reason": "x"},
        (401, 403, 403, 403, 403, 403, 404, 403),
    ),
    ("GET", "/api/live-sessions/{session}/ics", None, (401, 403, 200, 200, 200, 404, 200, 403)),
    ("GET", "/api/admin/users", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    (
        "PATCH",
        "/api/admin/users/{unknown}/ban",
        {"reason": "x"},
        (401, 403, 403, 403, 403, 403, 404, 403),
    ),
    ("PATCH", "/api/admin/users/{student}/activate", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    (
        "PATCH",
        "/api/admin/users/{student}/role",
        {"role": "student"},
        (401, 403, 403, 403, 403, 403, 200, 403),
    ),
    ("GET", "/api/admin/settings", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    ("PATCH", "/api/admin/settings", {"maxPlaybacks": 2}, (401, 403, 403, 403, 403, 403, 200, 403)),
    ("GET", "/api/admin/audit", None, (401, 403, 403, 403, 403, 403, 200, 403)),
    # Last: they change who somebody is, or take the object away.
    ("POST", "/api/courses/{course}/enroll", None, (401, 201, 200, 403, 403, 403, 403, 403)),
    ("POST", "/api/live-sessions/{session}/end", None, (401, 403, 403, 200, 200, 404, 403, 403)),
    (
        "POST",
        "/api/admin/live-sessions/{session}/end",
        None,
        (401, 403, 403, 403, 403, 403, 200, 403),
    ),
    ("POST", "/api/auth/logout-all", None, (401, 204, 204, 204, 204, 204, 204, 403)),
    ("POST", "/api/auth/logout", {}, (401, 204, 204, 204, 204, 204, 204, 204)),
]


@pytest.fixture(scope="module")
async def cast(school: School) -> tuple[dict[str, Person | None], dict[str, str]]:
    owner = await school.register("instructor")
    helper = await school.register("instructor")
    enrolled, banned = await school.register(), await school.register()
    course = await school.course(owner)
    draft = await school.course(owner, approve=False)
    await school.database.execute(
        "INSERT INTO co_instructors (course_id, user_id) VALUES ($1, $2)", course, helper.id
    )
    await school.database.execute("UPDATE users SET status = 'disabled' WHERE id = $1", banned.id)
    await school.enroll([enrolled], course)
    session = await school.session(owner, course)
    section = await school.database.fetchval("SELECT id FROM sections WHERE course_id = $1", course)
    lesson = await school.database.fetchval("SELECT id FROM lessons WHERE section_id = $1", section)
    hidden = await school.database.fetchrow(
        "SELECT s.id AS section, l.id AS lesson FROM sections s JOIN lessons l ON l.section_id = s.id"
        " WHERE s.course_id = $1",
        draft,
    )
    preview = await school.lesson(owner, str(section), preview=True)
    spare_lesson = await school.lesson(owner, str(section))
    made = await school.call("POST", f"/api/courses/{course}/sections", owner, json={"title": "Spare"})
    spare_section = made.body["id"]
    people: dict[str, Person | None] = {
        "-": None,
        "S0": await school.register(),
        "S+": enrolled,
        "IO": owner,
        "CO": helper,
        "IX": await school.register("instructor"),
        "AD": await school.login("admin@example.com"),
        "XX": banned,
    }
    ids = {
        "course": course,
        "draft": draft,
        "session": session,
        "section": str(section),
        "lesson": str(lesson),
        "hidden_section": str(hidden["section"]),
        "hidden_lesson": str(hidden["lesson"]),
        "preview": preview,
        "spare_lesson": spare_lesson,
        "spare_section": spare_section,
        "helper": helper.id,
        "student": enrolled.id,
        "unknown": str(uuid7()),
        "rendition": "240p",
        "number": "0",
    }
    return people, ids


def _filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, ids) for key, one in value.items()}
    return value.format(**ids) if isinstance(value, str) else value


async def test_every_cell_answers_as_written(
    school: School, cast: tuple[dict[str, Person | None], dict[str, str]]
) -> None:
    people, ids = cast
    wrong, cells = [], 0
    for method, path, body, expected in MATRIX:
        assert len(expected) == len(WHO)
        for who, status in zip(WHO, expected, strict=True):
            rest = {} if body is None else {"json": _filled(body, ids)}
            answer = await school.call(method, _filled(path, ids), people[who], allow_redirects=False, **rest)
            cells += 1
            if answer.status != status:
                wrong.append(f"{method} {path} as {who}: {answer.status} {answer.code}, not {status}")
            if answer.status == 401:
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    print(f"{cells} cells of {len(MATRIX)} routes")
    assert not wrong, "\n".join(wrong)


def test_no_route_is_without_a_row() -> None:
    # A row names an object ({hidden_lesson}), a route its kind ({lesson}).
    written = {(method, _ANY_ID.sub("{}", path.partition("?")[0])) for method, path, _, _ in MATRIX}
    declared = {(route.method, _ANY_ID.sub("{}", route.path)) for route in api.ROUTES}
    assert declared == written


async def test_what_is_to_come_does_not_exist_yet(school: School) -> None:
    admin = await school.login("admin@example.com")
    for method, path in LATER:
        answer = await school.call(method, path.format(session="x"), admin)
        assert answer.status in {404, 405}, path


@pytest.mark.parametrize("route", api.ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_an_unused_method_is_405_and_says_which_are_used(school: School, route: Route) -> None:
    path = _ANY_ID.sub("x", route.path)
    answer = await school.call("PROPFIND", path)
    assert answer.status == 405
    assert route.method in answer.headers["Allow"]
    assert answer.code == "method_not_allowed"


@pytest.mark.parametrize(
    "bad", ["x", "1", "../etc", "%00", "00000000-0000-7000-8000-000000000000", "a" * 2000, "é"]
)
async def test_a_wrong_id_is_never_a_fault_of_ours(school: School, bad: str) -> None:
    student, instructor = await school.register(), await school.register("instructor")
    admin = await school.login("admin@example.com")
    for method, path, body, _ in MATRIX:
        if "{" not in path:
            continue
        for who in (student, instructor, admin):
            rest = {} if body is None else {"json": body}
            wrong = _ANY_ID.sub(lambda _found: bad, path)
            answer = await school.call(method, wrong, who, **rest)
            # 401: an address for players, whose token is looked at first.
            allowed = {401} if "?t=" in path else set()
            assert answer.status in {403, 404, 405, 422} | allowed, (method, path, answer)
