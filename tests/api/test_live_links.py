"""Classes that are held elsewhere, and classes for the calendar."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from icalendar import Calendar

from tests.builders import Person, School


async def _planned(school: School, ahead: timedelta, **facts: object) -> tuple[Person, list[Person], str]:
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(2)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    body = {
        "courseId": course,
        "title": "حصة الرسم",
        "startTime": (datetime.now(UTC) + ahead).isoformat(),
        "timezone": "Africa/Cairo",
        "duration": 45,
        "maxStudents": 5,
        **facts,
    }
    made = await school.call("POST", "/api/live-sessions", teacher, json=body)
    assert made.status == 201, made
    return teacher, students, made.body["id"]


LINK = {"provider": "link", "externalUrl": "https://meet.example.org/abc"}


async def test_the_address_of_a_class_elsewhere_is_told_in_its_time_only(school: School) -> None:
    _, students, later = await _planned(school, timedelta(hours=2), **LINK)
    early = await school.join(students[0], later)
    assert (early.status, early.code) == (409, "session_not_started")
    read = await school.call("GET", f"/api/live-sessions/{later}", students[0])
    assert "externalUrl" not in read.body
    teacher, students, soon = await _planned(school, timedelta(minutes=5), **LINK)
    joined = await school.join(students[0], soon)
    assert (joined.status, joined.body["externalUrl"]) == (200, LINK["externalUrl"])
    assert "ticket" not in joined.body
    await school.call("POST", f"/api/live-sessions/{soon}/start", teacher)
    await school.call("POST", f"/api/live-sessions/{soon}/end", teacher)
    assert (await school.join(students[0], soon)).code == "session_ended"
    report = (await school.call("GET", f"/api/live-sessions/{soon}/attendance", teacher)).body
    assert report["basis"] == "clicks"
    states = {one["studentId"]: one["status"] for one in report["students"]}
    assert states == {students[0].id: "present", students[1].id: "absent"}


async def test_a_link_needs_an_address_and_only_a_link_has_one(school: School) -> None:
    teacher = await school.register("instructor")
    course = await school.course(teacher)
    plan = {
        "courseId": course,
        "title": "x",
        "startTime": "2031-01-01T10:00:00Z",
        "duration": 45,
        "maxStudents": 5,
    }
    for facts in (
        {"provider": "link"},
        {"externalUrl": "https://x.example"},
        {"provider": "link", "externalUrl": "javascript:alert(1)"},
    ):
        answer = await school.call("POST", "/api/live-sessions", teacher, json={**plan, **facts})
        assert answer.status == 422, facts


async def test_all_of_a_planned_class_can_be_changed_and_little_of_a_running_one(
    school: School,
) -> None:
    teacher, students, session = await _planned(school, timedelta(minutes=5))
    path = f"/api/live-sessions/{session}"
    course = (await school.call("GET", path, teacher)).body["courseId"]
    section = (await school.call("GET", f"/api/instructor/courses/{course}", teacher)).body["sections"][0]

    async def live_lesson(hour: int) -> str:
        wanted = {"title": "x", "duration": 45, "maxStudents": 5, "startTime": f"2031-01-01T{hour}:00:00Z"}
        return await school.lesson(teacher, section["id"], type="live", session=wanted)

    async def change(**facts: Any) -> Any:
        return await school.call("PATCH", path, teacher, json=facts)

    lesson, file = await live_lesson(10), section["lessons"][0]["id"]
    for wrong in ({"provider": "link"}, {"lessonId": file}, {"lessonId": session}):
        assert (await change(**wrong)).status == 422, wrong
    moved = await change(**LINK, lessonId=lesson)
    assert (moved.status, moved.body["provider"], moved.body["lessonId"]) == (200, "link", lesson)
    told = (await school.call("GET", "/api/notifications", students[0])).body["items"][0]
    assert told["kind"] == "session_changed"
    assert {"provider", "externalUrl"} <= set(told["facts"]["changed"])
    back = await change(provider="builtin")
    assert (back.body["provider"], "externalUrl" in back.body) == ("builtin", False)
    assert (await school.call("POST", f"{path}/start", teacher)).status == 200
    for late in (LINK, {"lessonId": await live_lesson(12)}):
        refused = await change(**late)
        assert (refused.status, refused.code) == (409, "wrong_state"), late


async def test_a_class_stands_in_the_calendar_at_its_hour_in_its_zone(school: School) -> None:
    _, students, session = await _planned(school, timedelta(days=200))
    answer = await school.call("GET", f"/api/live-sessions/{session}/ics", students[0])
    assert answer.headers["Content-Type"].startswith("text/calendar")
    calendar = Calendar.from_ical(io.StringIO(answer.body).read())
    (event,) = calendar.walk("VEVENT")
    assert str(event["summary"]) == "حصة الرسم"
    start = event.decoded("dtstart")
    read = await school.call("GET", f"/api/live-sessions/{session}", students[0])
    assert abs(start - datetime.fromisoformat(read.body["startTime"])) < timedelta(seconds=1)
    assert event["dtstart"].params["TZID"] == "Africa/Cairo"
    assert [str(zone["tzid"]) for zone in calendar.walk("VTIMEZONE")] == ["Africa/Cairo"]
