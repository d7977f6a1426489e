"""How far a student has come: counted exactly, kept through changes of the course, certified at the end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders import Person, School


async def _course(school: School, **facts: Any) -> tuple[Person, Person, str, str, list[str]]:
    """A course of three lessons with one student."""
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    tree = await school.call("GET", f"/api/instructor/courses/{course}", owner)
    section = tree.body["sections"][0]
    lessons = [section["lessons"][0]["id"]]
    lessons += [await school.lesson(owner, section["id"]) for _ in range(2)]
    if facts:
        await school.call("PATCH", f"/api/instructor/courses/{course}", owner, json=facts)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    return owner, student, course, section["id"], lessons


async def _complete(school: School, who: Person, lesson: str) -> Any:
    return await school.call("POST", f"/api/progress/lesson/{lesson}/complete", who)


async def test_the_percent_is_of_published_lessons_and_the_last_one_certifies(school: School) -> None:
    owner, student, course, section, lessons = await _course(school)
    hidden = await school.lesson(owner, section, published=False)
    assert (await _complete(school, student, hidden)).status == 404
    assert (await _complete(school, student, lessons[0])).body["percent"] == 33
    assert (await _complete(school, student, lessons[0])).body["percent"] == 33
    assert (await _complete(school, student, lessons[1])).body["percent"] == 66
    at_once = await asyncio.gather(*(_complete(school, student, lessons[2]) for _ in range(10)))
    assert {one.body["percent"] for one in at_once} == {100}
    mine = (await school.call("GET", "/api/certificates/mine", student)).body["items"]
    assert len(mine) == 1
    shown = await school.call("GET", f"/api/certificates/{mine[0]['code']}")
    assert (shown.status, shown.body["status"]) == (200, "valid")
    told = [one["kind"] for one in (await school.call("GET", "/api/notifications", student)).body["items"]]
    assert told.count("certificate_issued") == 1

    await school.lesson(owner, section)
    both = [
        (await school.call("GET", path, student)).body
        for path in (f"/api/courses/{course}/progress", f"/api/progress/course/{course}")
    ]
    assert both[0] == both[1]
    assert both[0]["percent"] == 75
    assert [one["state"] for one in both[0]["lessons"]] == ["completed"] * 3 + ["open"]
    assert len((await school.call("GET", "/api/certificates/mine", student)).body["items"]) == 1
    students = await school.call("GET", f"/api/instructor/courses/{course}/students", owner)
    assert [one["progress"] for one in students.body["items"]] == [75]


async def test_a_certificate_is_revoked_for_ever_and_says_so(school: School) -> None:
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    await school.enroll([student], course)
    read = (await school.call("GET", f"/api/courses/{course}/progress", student)).body
    for lesson in read["lessons"]:
        await school.call("POST", f"/api/progress/lesson/{lesson['lessonId']}/complete", student)
    code = (await school.call("GET", "/api/certificates/mine", student)).body["items"][0]["code"]
    admin = await school.login("admin@example.com")
    path = f"/api/admin/certificates/{code}/revoke"
    assert (await school.call("PATCH", path, admin, json={})).status == 422
    for _ in range(2):
        assert (await school.call("PATCH", path, admin, json={"reason": "plagiarism"})).body[
            "status"
        ] == "revoked"
    assert (await school.call("GET", f"/api/certificates/{code}")).body["status"] == "revoked"
    log = (await school.call("GET", "/api/admin/audit?action=certificate.revoked", admin)).body["items"]
    assert [one["details"]["reason"] for one in log if one["details"]["code"] == code] == ["plagiarism"]


async def test_in_a_sequential_course_each_lesson_opens_the_next(school: School) -> None:
    _, student, course, _, lessons = await _course(school, sequential=True)
    locked = await school.call("GET", f"/api/lessons/{lessons[1]}", student)
    assert (locked.status, locked.code) == (403, "locked")
    assert locked.body["unlockedBy"] == lessons[0]
    assert (await _complete(school, student, lessons[2])).code == "locked"
    progress = (await _complete(school, student, lessons[0])).body
    assert [one["state"] for one in progress["lessons"]] == ["completed", "open", "locked"]
    assert progress["nextLessonId"] == lessons[1]
    assert (await school.call("GET", f"/api/lessons/{lessons[1]}", student)).status == 200
    assert course == progress["courseId"]


async def test_a_lesson_that_opens_later_says_when(school: School) -> None:
    owner, student, _, section, _ = await _course(school)
    at = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    later = await school.lesson(owner, section, availableFrom=at.isoformat())
    locked = await school.call("GET", f"/api/lessons/{later}", student)
    assert (locked.status, locked.code) == (403, "locked")
    assert datetime.fromisoformat(locked.body["availableFrom"]) == at
    assert (await school.call("GET", f"/api/lessons/{later}", owner)).status == 200


async def test_staff_see_one_student_or_the_mean_and_students_only_themselves(school: School) -> None:
    owner, student, course, _, lessons = await _course(school)
    other = await school.register()
    await school.call("POST", f"/api/courses/{course}/enroll", other)
    await _complete(school, student, lessons[0])
    mean = (await school.call("GET", f"/api/progress/course/{course}", owner)).body
    assert (mean["students"], mean["percent"], mean["finished"]) == (2, 17, 0)
    one = await school.call("GET", f"/api/progress/course/{course}?userId={student.id}", owner)
    assert one.body["percent"] == 33
    peek = await school.call("GET", f"/api/progress/course/{course}?userId={student.id}", other)
    assert (peek.status, peek.code) == (403, "not_owner")


async def test_a_live_lesson_is_complete_by_attendance_only(school: School) -> None:
    owner, student, _, section, _ = await _course(school)
    plan = {
        "title": "Live",
        "startTime": datetime.now(UTC).isoformat(),
        "duration": 30,
        "maxStudents": 5,
    }
    made = await school.call(
        "POST",
        f"/api/sections/{section}/lessons",
        owner,
        json={"type": "live", "title": "L", "session": plan},
    )
    lesson = made.body["id"]
    refused = await _complete(school, student, lesson)
    assert (refused.status, refused.code) == (409, "threshold_not_reached")
    session = await school.database.fetchval("SELECT id FROM live_sessions WHERE lesson_id = $1", lesson)
    assert (await school.call("POST", f"/api/live-sessions/{session}/start", owner)).status == 200
    await school.enter(student, str(session))
    await asyncio.sleep(2)
    assert (await school.call("POST", f"/api/live-sessions/{session}/end", owner)).status == 200
    done = await _complete(school, student, lesson)
    assert done.status == 200, done
