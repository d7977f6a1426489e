"""The account's socket: told once, the same as REST tells, and closed with its login."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from socketio.exceptions import ConnectionError as Refused

from tests.builders import Person, School, until


async def _course(school: School) -> tuple[Person, Person, str]:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    return teacher, student, course


async def test_what_happens_is_told_at_once_and_as_the_list_has_it(school: School) -> None:
    teacher, student, course = await _course(school)
    sockets = [await school.account_socket(student, process=process) for process in (0, 1)]
    bystander = await school.account_socket(await school.register())
    session = await school.session(teacher, course)
    await until(lambda: all(len(one.heard("notification")) == 2 for one in sockets), 5)
    told = sockets[0].heard("notification")
    assert told == sockets[1].heard("notification")
    assert [one["kind"] for one in told] == ["session_scheduled", "session_started"]
    listed = (await school.call("GET", "/api/notifications", student)).body["items"]
    assert list(reversed(told)) == listed
    assert told[1]["facts"]["sessionId"] == session
    assert not bystander.heard("notification")


async def test_reminders_come_once_each_though_two_processes_watch(school: School) -> None:
    teacher, student, course = await _course(school)
    socket = await school.account_socket(student)
    ids = {}
    for name, ahead in (("day", 23 * 60), ("hour", 30), ("later", 2 * 24 * 60)):
        plan = {
            "courseId": course,
            "title": name,
            "startTime": (datetime.now(UTC) + timedelta(minutes=ahead)).isoformat(),
            "duration": 20,
            "maxStudents": 5,
        }
        made = await school.call("POST", "/api/live-sessions", teacher, json=plan)
        ids[made.body["id"]] = name

    def reminders() -> list[tuple[str, str]]:
        return [
            (ids[one["facts"]["sessionId"]], one["kind"])
            for one in socket.heard("notification")
            if one["kind"].startswith("session_in")
        ]

    await until(lambda: len(reminders()) >= 2, 15)
    await asyncio.sleep(11)
    assert sorted(reminders()) == [("day", "session_in_a_day"), ("hour", "session_in_an_hour")]


async def test_a_socket_ends_with_its_login(school: School) -> None:
    who = await school.register()
    socket = await school.account_socket(who, process=1)
    assert (await socket.ask("auth.refresh", {"accessToken": who.token})) == {"ok": {}}
    assert (await socket.ask("nonsense"))["error"]["code"] == "invalid"
    await school.call("POST", "/api/auth/logout", who)
    await until(lambda: not socket.client.connected, 3)
    assert socket.heard("auth.expired")


async def test_a_socket_without_a_token_is_refused(school: School) -> None:
    stranger = Person("", "", "forged")
    with pytest.raises(Refused):
        await school.account_socket(stranger)
