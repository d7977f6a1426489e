"""Making, changing, finding and taking away courses; what they are made of keeps its order."""

import asyncio
import base64
import random
from typing import Any
from uuid import uuid4

import pytest

from api.paging import encode
from tests.builders import Person, School, until


async def _tree(school: School, who: Person, course: str) -> Any:
    answer = await school.call("GET", f"/api/instructor/courses/{course}", who)
    assert answer.status == 200, answer
    return answer.body


async def test_an_edit_of_what_somebody_else_changed_meanwhile_is_refused(school: School) -> None:
    owner = await school.register("instructor")
    course = await school.course(owner, approve=False)
    path = f"/api/instructor/courses/{course}"
    read = await school.call("GET", path, owner)
    etag = read.headers["ETag"]
    first = await school.call("PATCH", path, owner, json={"title": "One"}, headers={"If-Match": etag})
    assert first.status == 200, first
    second = await school.call("PATCH", path, owner, json={"title": "Two"}, headers={"If-Match": etag})
    assert (second.status, second.code) == (409, "stale_version")
    assert second.body["version"] == first.body["version"]
    assert (await school.call("PATCH", path, owner, json={"title": "Three"})).status == 200
    bad = await school.call("PATCH", path, owner, json={"title": "x"}, headers={"If-Match": "nonsense"})
    assert bad.status == 422


async def test_fifty_moves_at_once_leave_no_gap_and_no_double(school: School) -> None:
    owner = await school.register("instructor")
    course = await school.course(owner, approve=False)
    for n in range(9):
        await school.call("POST", f"/api/courses/{course}/sections", owner, json={"title": str(n)})
    ids = [one["id"] for one in (await _tree(school, owner, course))["sections"]]
    for n in range(5):
        await school.lesson(owner, ids[0], title=str(n))
    lessons = [one["id"] for one in (await _tree(school, owner, course))["sections"][0]["lessons"]]

    async def move(n: int) -> int:
        order = {"order": random.randint(1, 12)}
        if n % 2:
            path, body = f"/api/sections/{random.choice(ids)}", order
        else:
            path = f"/api/lessons/{random.choice(lessons)}"
            body = {**order, "sectionId": random.choice(ids[:3])}
        return (await school.call("PATCH", path, owner, json=body, process=n % 2)).status

    assert set(await asyncio.gather(*(move(n) for n in range(50)))) == {200}
    sections = (await _tree(school, owner, course))["sections"]
    assert [one["order"] for one in sections] == list(range(1, 11))
    for section in sections:
        assert [one["order"] for one in section["lessons"]] == list(range(1, len(section["lessons"]) + 1))
    assert sorted(one["id"] for section in sections for one in section["lessons"]) == sorted(lessons)
    assert {one["id"] for one in sections} == set(ids)


async def test_a_section_moves_to_where_it_was_told(school: School) -> None:
    owner = await school.register("instructor")
    course = await school.course(owner, approve=False)
    for name in "BCD":
        await school.call("POST", f"/api/courses/{course}/sections", owner, json={"title": name})

    async def order() -> list[str]:
        return [one["title"] for one in (await _tree(school, owner, course))["sections"]]

    ids = {one["title"]: one["id"] for one in (await _tree(school, owner, course))["sections"]}
    assert await order() == ["Section", "B", "C", "D"]
    await school.call("PATCH", f"/api/sections/{ids['D']}", owner, json={"order": 2})
    assert await order() == ["Section", "D", "B", "C"]
    await school.call("PATCH", f"/api/sections/{ids['D']}", owner, json={"order": 99})
    assert await order() == ["Section", "B", "C", "D"]
    await school.call("POST", f"/api/courses/{course}/sections", owner, json={"title": "First", "order": 1})
    await school.call("DELETE", f"/api/sections/{ids['B']}", owner)
    assert await order() == ["First", "Section", "C", "D"]


async def test_a_deleted_course_is_out_of_sight_and_can_be_restored(school: School) -> None:
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    planned = await school.session(owner, course, start=False)
    mine = f"/api/instructor/courses/{course}"
    assert (await school.call("DELETE", mine, owner)).status == 204
    assert (await school.call("DELETE", mine, owner)).status == 404
    for path in (f"/api/courses/{course}", f"/api/courses/{course}/sections", mine):
        assert (await school.call("GET", path, owner)).status == 404, path
    assert (await school.call("POST", f"/api/courses/{course}/enroll", student)).status == 404
    assert (await school.call("GET", f"/api/courses/{course}/progress", student)).status == 200
    listed = (await school.call("GET", "/api/instructor/courses?deleted=true", owner)).body["items"]
    assert [one["id"] for one in listed] == [course]
    status = await school.database.fetchval("SELECT status FROM live_sessions WHERE id = $1", planned)
    assert status == "cancelled"
    told = (await school.call("GET", "/api/notifications", student)).body["items"]
    assert [one["kind"] for one in told].count("session_cancelled") == 1
    admin, kept = await school.login("admin@example.com"), f"/api/live-sessions/{planned}/attendance"
    assert (await school.call("GET", kept, admin)).status == 200, (
        "kept for ever, for who looks after the school"
    )
    assert (await school.call("GET", kept, owner)).status == 404
    assert (await school.call("POST", f"{mine}/restore", owner)).status == 200
    assert (await school.call("GET", f"/api/courses/{course}")).status == 200


async def test_a_course_whose_class_runs_is_not_deleted(school: School) -> None:
    owner = await school.register("instructor")
    course = await school.course(owner)
    session = await school.session(owner, course)
    refused = await school.call("DELETE", f"/api/instructor/courses/{course}", owner)
    assert (refused.status, refused.code) == (409, "session_live")
    assert refused.body["sessionId"] == session


async def test_a_live_lesson_comes_with_its_class(school: School) -> None:
    owner = await school.register("instructor")
    course = await school.course(owner)
    section = (await _tree(school, owner, course))["sections"][0]["id"]
    path = f"/api/sections/{section}/lessons"
    bare = await school.call("POST", path, owner, json={"type": "live", "title": "Live"})
    assert (bare.status, bare.body["errors"][0]["field"]) == (422, "session")
    plan = {"title": "L", "startTime": "2030-05-01T15:00:00Z", "duration": 45, "maxStudents": 9}
    made = await school.call("POST", path, owner, json={"type": "live", "title": "Live", "session": plan})
    assert made.status == 201, made
    sessions = (await school.call("GET", f"/api/live-sessions?courseId={course}", owner)).body["items"]
    assert [one["lessonId"] for one in sessions] == [made.body["id"]]
    typed = await school.call("PATCH", f"/api/lessons/{made.body['id']}", owner, json={"type": "video"})
    assert typed.status == 422


async def test_an_instructor_cannot_give_two_classes_at_once(school: School) -> None:
    owner = await school.register("instructor")
    courses = [await school.course(owner), await school.course(owner)]

    def plan(n: int, start: str) -> dict[str, Any]:
        return {"courseId": courses[n], "title": "x", "startTime": start, "duration": 60, "maxStudents": 5}

    first = await school.call("POST", "/api/live-sessions", owner, json=plan(0, "2031-01-01T10:00:00Z"))
    second = await school.call("POST", "/api/live-sessions", owner, json=plan(1, "2031-01-01T10:59:00Z"))
    assert (second.status, second.code) == (409, "overlap")
    assert second.body["sessionId"] == first.body["id"]
    after = await school.call("POST", "/api/live-sessions", owner, json=plan(1, "2031-01-01T11:00:00Z"))
    assert after.status == 201
    moved = await school.call(
        "PATCH", f"/api/live-sessions/{after.body['id']}", owner, json={"startTime": "2031-01-01T10:30:00Z"}
    )
    assert (moved.status, moved.code) == (409, "overlap")
    admin = await school.login("admin@example.com")
    await school.call("PATCH", "/api/admin/settings", admin, json={"allowOverlap": True})
    try:
        warned = await school.call("POST", "/api/live-sessions", owner, json=plan(1, "2031-01-01T10:05:00Z"))
        assert (warned.status, warned.body["overlapsWith"]) == (201, first.body["id"])
    finally:
        await school.call("PATCH", "/api/admin/settings", admin, json={"allowOverlap": False})
    at_once = [
        school.call(
            "POST", "/api/live-sessions", owner, json=plan(n % 2, "2031-02-01T10:00:00Z"), process=n % 2
        )
        for n in range(10)
    ]
    assert sorted(one.status for one in await asyncio.gather(*at_once)) == [201] + [409] * 9


# The catalogue


@pytest.fixture(scope="module")
async def shelf(school: School) -> tuple[Person, dict[str, str]]:
    """Courses of one instructor with telling titles."""
    owner = await school.register("instructor")
    books = {
        "الرسم الهندسيّ للمبتدئين": ("ar", 0),
        "أسس إدارة المشاريع": ("ar", 5000),
        "Watercolour painting": ("en", 1500),
        "Photography basics": ("en", 0),
        "100% percent_ages": ("en", 900),
        "Café culture": ("en", 700),
    }
    found = {}
    for title, (language, price) in books.items():
        found[title] = await school.course(owner, price=price)
        await school.database.execute(
            "UPDATE courses SET title = $2, language = $3 WHERE id = $1", found[title], title, language
        )
    return owner, found


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("الرسم الهندسي", "الرسم الهندسيّ للمبتدئين"),
        ("رسم هندسي", "الرسم الهندسيّ للمبتدئين"),
        ("اداره المشاريع", "أسس إدارة المشاريع"),
        ("إِدَارَة", "أسس إدارة المشاريع"),
        ("WATERCOLOUR", "Watercolour painting"),
        ("watercolor", "Watercolour painting"),
        ("painting water", "Watercolour painting"),
        ("photografy", "Photography basics"),
        ("cafe", "Café culture"),
        ("100%", "100% percent_ages"),
        ("t_age", "100% percent_ages"),
    ],
)
async def test_a_course_is_found_however_it_is_spelled(
    school: School, shelf: tuple[Person, dict[str, str]], words: str, title: str
) -> None:
    owner, books = shelf
    query = {"q": words, "instructorId": owner.id}
    found = await school.call("GET", "/api/courses", params=query)
    assert found.status == 200, found
    assert [one["id"] for one in found.body["items"]][:1] == [books[title]]


@pytest.mark.parametrize("words", ["%", "_", "\\", "'; DROP TABLE courses;--", "zzzqqq"])
async def test_signs_of_sql_are_only_signs(
    school: School, shelf: tuple[Person, dict[str, str]], words: str
) -> None:
    owner, books = shelf
    found = await school.call("GET", "/api/courses", params={"q": words, "instructorId": owner.id})
    assert found.status == 200
    expected = {books["100% percent_ages"]} if words in {"%", "_"} else set()
    assert {one["id"] for one in found.body["items"]} == expected


@pytest.mark.parametrize("sort", ["newest", "popular", "price", "-price", "relevance"])
async def test_every_order_is_paged_without_a_gap_or_a_double(
    school: School, shelf: tuple[Person, dict[str, str]], sort: str
) -> None:
    owner, books = shelf
    query = {"sort": sort, "limit": "2", "instructorId": owner.id}
    if sort == "relevance":
        query["q"] = "a"
    seen: list[Any] = []
    while True:
        page = await school.call("GET", "/api/courses", params=query)
        assert page.status == 200, page
        seen += page.body["items"]
        if "nextCursor" not in page.body:
            break
        query["cursor"] = page.body["nextCursor"]
    assert len({one["id"] for one in seen}) == len(seen)
    if sort != "relevance":
        assert {one["id"] for one in seen} == set(books.values())
    prices = [one["price"] for one in seen]
    if sort == "price":
        assert prices == sorted(prices)
    if sort == "-price":
        assert prices == sorted(prices, reverse=True)


async def test_filters_narrow_and_a_foreign_cursor_is_refused(
    school: School, shelf: tuple[Person, dict[str, str]]
) -> None:
    owner, books = shelf
    mine = {"instructorId": owner.id}
    free = (await school.call("GET", "/api/courses", params={**mine, "price": "free"})).body["items"]
    assert {one["price"] for one in free} == {0}
    assert len(free) == 2
    arabic = (await school.call("GET", "/api/courses", params={**mine, "language": "ar"})).body["items"]
    assert len(arabic) == 2
    page = await school.call("GET", "/api/courses", params={**mine, "limit": "1"})
    other = await school.call(
        "GET", "/api/courses", params={**mine, "sort": "price", "cursor": page.body["nextCursor"]}
    )
    assert (other.status, other.body["errors"][0]["code"]) == (422, "unknown_cursor")
    made = [
        encode("price", 1, "not-an-id"),
        base64.urlsafe_b64encode(f'["price", NaN, "{uuid4()}"]'.encode()).rstrip(b"=").decode(),
        encode("price", True, uuid4()),
    ]
    for cursor in ("x", "e30", "WyJuZXdlc3QiXQ", "a" * 300, *made):
        query = {"sort": "price", "cursor": cursor}
        assert (await school.call("GET", "/api/courses", params=query)).status == 422, cursor
    students = f"/api/instructor/courses/{books['Café culture']}/students"
    for moment in ("2026-01-01T00:00:00", "yesterday", 5):
        answer = await school.call("GET", students, owner, params={"cursor": encode(moment, uuid4())})
        assert answer.status == 422, moment


async def test_a_disabled_instructors_courses_leave_the_catalogue(school: School) -> None:
    owner = await school.register("instructor")
    course = await school.course(owner)
    admin = await school.login("admin@example.com")
    path = f"/api/courses?instructorId={owner.id}"
    assert len((await school.call("GET", path)).body["items"]) == 1
    ban = {"reason": "spam"}
    assert (await school.call("PATCH", f"/api/admin/users/{owner.id}/ban", admin, json=ban)).status == 200
    assert (await school.call("GET", path)).body["items"] == [], course


# Students of a course


async def test_who_is_enrolled_is_told_once_and_counted_once(school: School) -> None:
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    answers = await asyncio.gather(
        *(school.call("POST", f"/api/courses/{course}/enroll", student, process=n % 2) for n in range(50))
    )
    assert sorted(one.status for one in answers) == [200] * 49 + [201]
    assert len({one.body["id"] for one in answers}) == 1
    told = (await school.call("GET", "/api/notifications", student)).body
    assert [one["kind"] for one in told["items"]] == ["enrolled"]
    assert told["unread"] == 1
    assert (await school.call("GET", f"/api/courses/{course}")).body["studentCount"] == 1


async def test_a_removed_student_is_out_at_once_and_comes_back_only_when_allowed(school: School) -> None:
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    session = await school.session(owner, course)
    socket = await school.enter(student, session)
    path = f"/api/instructor/courses/{course}/students"
    listed = (await school.call("GET", path, owner)).body["items"]
    assert [one["userId"] for one in listed] == [student.id]
    assert "lastSeenAt" in listed[0]
    assert (await school.call("DELETE", f"{path}/{student.id}", owner)).status == 204
    assert (await school.call("DELETE", f"{path}/{student.id}", owner)).status == 404
    for _ in range(40):
        if not socket.client.connected:
            break
        await asyncio.sleep(0.05)
    assert not socket.client.connected
    status = (await school.call("GET", f"/api/live-sessions/{session}/status", owner)).body
    assert status["seats"]["taken"] == 0
    again = await school.call("POST", f"/api/courses/{course}/enroll", student)
    assert (again.status, again.code) == (403, "removed")
    assert (await school.join(student, session)).code == "removed"
    assert (await school.call("GET", f"/api/courses/{course}")).body["studentCount"] == 0
    assert (await school.call("PUT", f"{path}/{student.id}", owner)).status == 204
    assert (await school.join(student, session)).status == 200
    assert (await school.call("GET", f"/api/courses/{course}")).body["studentCount"] == 1


async def test_who_helps_no_more_leaves_the_class_that_runs_too(school: School) -> None:
    owner, helper = await school.register("instructor"), await school.register("instructor")
    course = await school.course(owner)
    named = f"/api/instructor/courses/{course}/co-instructors/{helper.id}"
    assert (await school.call("PUT", named, owner)).status == 204
    session = await school.session(owner, course)
    socket = await school.enter(helper, session, process=1)
    await until(lambda: socket.heard("welcome"))
    assert (await school.call("DELETE", named, owner)).status == 204
    await until(lambda: not socket.client.connected, 2)
    assert (await school.join(helper, session)).status == 404


async def test_who_teaches_no_more_is_a_student_like_any_other(school: School) -> None:
    admin = await school.login("admin@example.com")
    owner, former = await school.register("instructor"), await school.register("instructor")
    own, helped = await school.course(former), await school.course(owner)
    path = f"/api/instructor/courses/{helped}/co-instructors/{former.id}"
    assert (await school.call("PUT", path, owner)).status == 204
    session = await school.session(owner, helped)
    role = {"role": "student"}
    # A class that runs with them must end first; then they are one of many.
    assert (await school.call("PATCH", f"/api/admin/users/{former.id}/role", admin, json=role)).status == 409
    assert (await school.call("POST", f"/api/live-sessions/{session}/end", owner)).status == 200
    assert (await school.call("PATCH", f"/api/admin/users/{former.id}/role", admin, json=role)).status == 200
    former = await school.login(former.email)
    later = await school.session(owner, helped)
    assert (await school.join(former, later)).code == "not_enrolled"
    section = (await school.call("GET", f"/api/courses/{own}/sections")).body[0]
    lesson = await school.call("GET", f"/api/lessons/{section['lessons'][0]['id']}", former)
    assert lesson.code == "not_enrolled", "not even what was theirs"


async def test_any_edit_of_an_approved_course_is_reviewed_where_the_school_wants_it(school: School) -> None:
    admin = await school.login("admin@example.com")
    owner, helper = await school.register("instructor"), await school.register("instructor")
    course = await school.course(owner)
    await school.call("PUT", f"/api/instructor/courses/{course}/co-instructors/{helper.id}", owner)
    (shown,) = (await school.call("GET", "/api/instructor/courses", helper)).body["items"]
    assert (shown["id"], shown["isOwner"]) == (course, False)
    section = (await _tree(school, owner, course))["sections"][0]["id"]
    await school.call("PATCH", "/api/admin/settings", admin, json={"reviewEdits": True})
    try:
        await school.lesson(helper, section, title="Not reviewed")
        assert (await _tree(school, owner, course))["status"] == "pending"
    finally:
        await school.call("PATCH", "/api/admin/settings", admin, json={"reviewEdits": False})


async def test_a_rejected_course_stays_open_to_its_students_unless_the_school_closes_it(
    school: School,
) -> None:
    admin = await school.login("admin@example.com")
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    lesson = (await _tree(school, owner, course))["sections"][0]["lessons"][0]["id"]
    session = await school.session(owner, course)

    async def review(verdict: str) -> Any:
        body: dict[str, Any] = {"json": {"reason": "not yet"}} if verdict == "reject" else {}
        return await school.call("PATCH", f"/api/admin/courses/{course}/{verdict}", admin, **body)

    async def again() -> None:
        await school.call("POST", f"/api/instructor/courses/{course}/submit", owner)
        assert (await review("approve")).status == 200

    assert (await review("reject")).status == 200
    assert (await school.call("GET", f"/api/lessons/{lesson}", student)).status == 200
    assert (await school.join(student, session)).status == 200
    await again()
    settings = {"keepAccessWhenRejected": False}
    await school.call("PATCH", "/api/admin/settings", admin, json=settings)
    try:
        running = await review("reject")
        assert (running.status, running.code, running.body["sessionId"]) == (409, "session_live", session)
        await school.call("POST", f"/api/live-sessions/{session}/end", owner)
        planned = await school.session(owner, course, start=False)
        assert (await review("reject")).status == 200
    finally:
        await school.call("PATCH", "/api/admin/settings", admin, json={"keepAccessWhenRejected": True})
    assert (await _tree(school, owner, course))["closed"] is True
    # It stays closed until it is approved, whatever the settings say by then.
    await school.call("POST", f"/api/instructor/courses/{course}/submit", owner)
    assert (await review("reject")).status == 200
    assert (await _tree(school, owner, course))["closed"] is True
    planning = {"courseId": course, "title": "Class", "startTime": "2036-01-01T10:00:00Z", "duration": 60}
    refused = await school.call("POST", "/api/live-sessions", owner, json={**planning, "maxStudents": 2})
    assert (refused.status, refused.code) == (403, "course_closed")
    for method, path, who in (
        ("GET", f"/api/lessons/{lesson}", student),
        ("GET", f"/api/lessons/{lesson}/file", student),
        ("POST", f"/api/progress/lesson/{lesson}/complete", student),
        ("POST", f"/api/live-sessions/{planned}/join", student),
        ("POST", f"/api/live-sessions/{planned}/start", owner),
    ):
        refused = await school.call(method, path, who)
        assert (refused.status, refused.code) == (403, "course_closed"), path
    for path, who in (
        (f"/api/courses/{course}/progress", student),
        (f"/api/live-sessions/{planned}", student),
        (f"/api/live-sessions/{session}/attendance/mine", student),
        (f"/api/lessons/{lesson}", owner),
    ):
        assert (await school.call("GET", path, who)).status == 200, path
    await again()
    assert (await school.call("GET", f"/api/lessons/{lesson}", student)).status == 200
