"""The status poll: most are told nothing new at next to no cost, and news is never held back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.builders import Answer, Person, School


class Poll:
    """Somebody who asks again and again, with the ETag of what they were told last."""

    def __init__(self, school: School, who: Person, session: str) -> None:
        self._school, self._who, self._path = school, who, f"/api/live-sessions/{session}/status"
        self.etag = ""

    async def ask(self, process: int = 0) -> Answer:
        known = {**self._who.auth, "If-None-Match": self.etag}
        answer = await self._school.call("GET", self._path, headers=known, process=process)
        self.etag = answer.headers.get("ETag", self.etag)
        return answer

    async def ask_shortly(self) -> Answer:
        """Ask until the answer is one that nobody was asked for."""
        for _ in range(50):
            answer = await self.ask()
            if answer.status == 304 and "X-Request-Id" not in answer.headers:
                return answer
        raise AssertionError("every poll was worked for")

    async def until_news(self, of: Callable[[Answer], bool] = lambda _: True) -> Answer:
        """Ask until something new is told that is news of what we wait for; at most a second."""
        async with asyncio.timeout(1):
            while True:
                answer = await self.ask()
                if answer.status != 304 and of(answer):
                    return answer


@pytest.fixture
async def poll(school: School) -> Any:
    """A student's poll in a class whose teacher polls without pause: what is shared is never stale."""
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course, seats=5)
    poll = Poll(school, student, session)
    crowd = asyncio.create_task(_poll_on(Poll(school, teacher, session)))
    assert (await poll.ask()).status == 200
    await poll.ask_shortly()
    yield poll, teacher, student, course, session
    crowd.cancel()


async def _poll_on(poll: Poll) -> None:
    while True:
        await poll.ask()


async def test_what_another_does_is_news(school: School, poll: Any) -> None:
    asking, teacher, _, course, session = poll
    other = await school.register()
    await school.enroll([other], course)
    await asking.ask_shortly()
    assert (await school.join(other, session, process=1)).status == 200
    assert (await asking.until_news()).body["seats"]["taken"] == 1
    await asking.ask_shortly()
    path = f"/api/live-sessions/{session}"
    assert (await school.call("PATCH", path, teacher, json={"duration": 77}, process=1)).status == 200
    await asking.until_news()
    await asking.ask_shortly()
    assert (await school.call("POST", f"{path}/end", teacher, process=1)).status == 200
    await asking.until_news(lambda news: news.body["status"] == "ended")


async def _ban(school: School, _teacher: Person, student: Person, _course: str) -> None:
    admin = await school.login("admin@example.com")
    path = f"/api/admin/users/{student.id}/ban"
    assert (await school.call("PATCH", path, admin, json={"reason": "x"}, process=1)).status == 200


async def _remove(school: School, teacher: Person, student: Person, course: str) -> None:
    path = f"/api/instructor/courses/{course}/students/{student.id}"
    assert (await school.call("DELETE", path, teacher, process=1)).status == 204


async def _log_out(school: School, _teacher: Person, student: Person, _course: str) -> None:
    assert (await school.call("POST", "/api/auth/logout-all", student, process=1)).status == 204


@pytest.mark.parametrize(
    ("deed", "status", "code"),
    [
        (_ban, 403, "account_disabled"),
        (_remove, 403, "removed"),
        (_log_out, 401, "token_invalid"),
    ],
)
async def test_who_has_lost_the_right_is_told_so_within_a_second(
    school: School, poll: Any, deed: Callable[..., Awaitable[None]], status: int, code: str
) -> None:
    asking, teacher, student, course, _ = poll
    await deed(school, teacher, student, course)
    answer = await asking.until_news()
    assert (answer.status, answer.code) == (status, code)


async def test_nobody_is_answered_with_what_another_was_told(school: School, poll: Any) -> None:
    asking, _, _, course, session = poll
    stranger, member = await school.register(), await school.register()
    await school.enroll([member], course)
    theirs = Poll(school, stranger, session)
    theirs.etag = asking.etag
    assert (await theirs.ask()).code == "not_enrolled"
    joined = Poll(school, member, session)
    assert (await school.join(member, session)).status == 200
    joined.etag = asking.etag
    answer = await joined.ask()
    assert (answer.status, answer.body["mine"]["state"]) == (200, "reserved")
    without = await school.call("GET", asking._path, headers={"If-None-Match": asking.etag})
    assert without.status == 401
