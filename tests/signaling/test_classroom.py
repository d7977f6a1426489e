"""The classroom's socket: tickets, rights, what is told, what is refused."""

import asyncio
from typing import Any

import aiohttp
import pytest
import socketio

from tests.builders import ClassSocket, Person, School, until

OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"


async def _class(school: School, seats: int = 3) -> tuple[Person, list[Person], str, str]:
    teacher = await school.register("instructor")
    students = await school.students(3)
    course = await school.course(teacher)
    await school.enroll(students, course)
    return teacher, students, course, await school.session(teacher, course, seats=seats)


async def _refused(school: School, ticket: Any, process: int = 0) -> str:
    socket = ClassSocket()
    with pytest.raises(socketio.exceptions.ConnectionError):
        await socket.client.connect(
            school.product.url(process),
            namespaces=["/classroom"],
            auth=ticket,
            transports=["websocket"],
            wait_timeout=5,
        )
    await socket.client.disconnect()
    refused = socket.refused
    return str(refused.get("data", refused).get("code") if isinstance(refused, dict) else refused)


async def test_a_ticket_opens_one_socket_once(school: School) -> None:
    _, students, _, session = await _class(school)
    ticket = (await school.join(students[0], session)).body["ticket"]
    socket = await school.connect(ticket)
    await until(lambda: socket.heard("welcome"))
    assert await _refused(school, {"ticket": ticket}, process=1) == "ticket_invalid"
    assert socket.client.connected, "the first is not disturbed"


@pytest.mark.parametrize(
    "auth", [None, {}, {"ticket": 5}, {"ticket": ""}, {"ticket": "x.y.z"}, {"ticket": "x" * 9000}, [], "x"]
)
async def test_a_socket_without_a_good_ticket_is_refused(school: School, auth: Any) -> None:
    assert await _refused(school, auth) in {"invalid", "ticket_invalid"}


async def test_an_access_token_is_no_ticket_and_a_ticket_no_access_token(school: School) -> None:
    _, students, _, session = await _class(school)
    assert await _refused(school, {"ticket": students[0].token}) == "ticket_invalid"
    ticket = (await school.join(students[0], session)).body["ticket"]
    answer = await school.call("GET", "/api/auth/me", headers={"Authorization": f"Bearer {ticket}"})
    assert answer.status == 401


async def test_a_ticket_of_before_the_end_opens_nothing_after_it(school: School) -> None:
    teacher, students, _, session = await _class(school)
    ticket = (await school.join(students[0], session)).body["ticket"]
    await school.call("POST", f"/api/live-sessions/{session}/end", teacher)
    assert await _refused(school, {"ticket": ticket}) == "session_ended"


async def test_polling_and_foreign_pages_are_refused(school: School) -> None:
    url = school.product.url() + "/socket.io/?EIO=4&transport="
    async with school.client.get(url + "polling") as answer:
        assert answer.status == 400
    for origin in ("https://evil.example", "http://["):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await school.client.ws_connect(url + "websocket", headers={"Origin": origin})


async def test_chat_and_hands_reach_everybody_on_every_process(school: School) -> None:
    teacher, students, _, session = await _class(school)
    desk = await school.enter(teacher, session, process=0)
    one = await school.enter(students[0], session, process=1)
    await until(lambda: one.heard("welcome"))
    assert (await one.ask("chat.say", {"text": " hello "}))["ok"]["message"]["text"] == "hello"
    await until(lambda: desk.heard("chat.said"))
    assert (await one.ask("hand.raise", {"up": True})) == {"ok": {}}
    await until(lambda: any(told["hand"] for told in desk.heard("attendee")))
    late = await school.enter(students[1], session, process=0)
    await until(lambda: late.heard("welcome"))
    welcome = late.heard("welcome")[0]
    assert [message["text"] for message in welcome["chat"]] == ["hello"]
    assert {person["userId"] for person in welcome["attendees"]} == {
        one.id for one in (teacher, *students[:2])
    }
    assert any(person["hand"] for person in welcome["attendees"])


async def test_students_may_not_do_what_staff_may(school: School) -> None:
    _, students, _, session = await _class(school)
    one = await school.enter(students[0], session)
    two = await school.enter(students[1], session)
    await until(lambda: one.heard("welcome") and two.heard("welcome"))
    for event, payload in (
        ("floor.give", {"userId": students[0].id, "sources": ["microphone"]}),
        ("floor.take", {"userId": students[1].id}),
        ("mute", {"userId": students[1].id, "source": "microphone"}),
        ("seat.kick", {"userId": students[1].id, "ban": True}),
    ):
        assert (await one.ask(event, payload))["error"]["code"] == "forbidden", event


@pytest.mark.parametrize(
    ("event", "payload", "code"),
    [
        ("nope", {}, "invalid"),
        ("chat.say", {"text": ""}, "invalid"),
        ("chat.say", {"text": "x" * 2001}, "invalid"),
        ("chat.say", {"text": 5}, "invalid"),
        ("chat.say", {"text": "x", "as": "teacher"}, "invalid"),
        ("chat.say", [], "invalid"),
        ("chat.say", "x", "invalid"),
        ("hand.raise", {"up": "yes"}, "invalid"),
        ("media.publish", {"sdp": OFFER, "sources": {"0": "television"}}, "invalid"),
        ("media.publish", {"sdp": OFFER, "sources": {}}, "bad_sdp"),
        ("media.publish", {"sdp": "x" * 40_000, "sources": {}}, "invalid"),
        ("media.answer", {"sdp": "v=0\r\nnothing"}, "bad_sdp"),
        ("auth.refresh", {"accessToken": "x" * 50}, "token_invalid"),
    ],
)
async def test_a_bad_event_is_answered_with_a_code(
    school: School, event: str, payload: Any, code: str
) -> None:
    _, students, _, session = await _class(school)
    one = await school.enter(students[0], session)
    await until(lambda: one.heard("welcome"))
    assert (await one.ask(event, payload))["error"]["code"] == code
    assert (await one.ask("hand.raise", {"up": False})) == {"ok": {}}, "and the socket lives on"


async def test_a_megabyte_of_sdp_ends_that_socket_and_no_other(school: School) -> None:
    _, students, _, session = await _class(school)
    one = await school.enter(students[0], session)
    two = await school.enter(students[1], session)
    await until(lambda: one.heard("welcome") and two.heard("welcome"))
    await one.client.emit("media.publish", {"sdp": "x" * 1_000_000, "sources": {}}, namespace="/classroom")
    await until(lambda: not one.client.connected)
    assert (await two.ask("hand.raise", {"up": True})) == {"ok": {}}
    status = await school.call("GET", f"/api/live-sessions/{session}/status", students[0])
    assert status.body["mine"]["state"] == "grace", "the seat is kept"


@pytest.mark.parametrize("name", ["connect", "disconnect"])
async def test_an_event_cannot_take_the_name_of_a_connection(school: School, name: str) -> None:
    _, students, _, session = await _class(school)
    one = await school.enter(students[0], session)
    await until(lambda: one.heard("welcome"))
    await one.client.emit(name, "ping timeout", namespace="/classroom")
    await asyncio.sleep(0.3)
    status = await school.call("GET", f"/api/live-sessions/{session}/status", students[0])
    assert status.body["mine"]["state"] == "seated"


async def test_too_many_events_are_refused_and_then_the_socket_closed(school: School) -> None:
    _, students, _, session = await _class(school)
    one = await school.enter(students[0], session)
    await until(lambda: one.heard("welcome"))
    answers = await asyncio.gather(*(one.ask("chat.say", {"text": "x"}) for _ in range(10)))
    codes = [answer["error"]["code"] for answer in answers if "error" in answer]
    assert codes == ["too_many_requests"] * 5
    for _ in range(200):
        await one.client.emit("hand.raise", {"up": True}, namespace="/classroom")
    await until(lambda: not one.client.connected)


async def test_kick_ban_leave_and_end_close_the_socket_at_once(school: School) -> None:
    teacher, students, _, session = await _class(school)
    desk = await school.enter(teacher, session, process=0)
    sockets = [await school.enter(one, session, process=1) for one in students]
    await until(lambda: all(one.heard("welcome") for one in sockets))
    assert await desk.ask("seat.kick", {"userId": students[0].id}) == {"ok": {}}
    await until(lambda: not sockets[0].client.connected, 2)
    assert sockets[0].heard("seat.lost")[0]["code"] == "kicked"
    assert (await school.join(students[0], session)).status == 200, "kicked is not banned"
    assert await desk.ask("seat.kick", {"userId": students[1].id, "ban": True}) == {"ok": {}}
    await until(lambda: not sockets[1].client.connected, 2)
    banned = await school.join(students[1], session)
    assert (banned.status, banned.code) == (403, "removed")
    assert await sockets[2].ask("seat.leave") == {"ok": {}}
    await until(lambda: not sockets[2].client.connected, 2)
    again = await school.enter(students[2], session)
    await school.call("POST", f"/api/live-sessions/{session}/end", teacher, process=1)
    await until(lambda: not again.client.connected and not desk.client.connected, 5)
    assert again.heard("session.ended")


async def test_logging_out_closes_the_socket_and_frees_the_seat(school: School) -> None:
    _, students, _, session = await _class(school)
    one = await school.enter(students[0], session, process=1)
    await until(lambda: one.heard("welcome"))
    await school.call("POST", "/api/auth/logout", students[0], json={})
    await until(lambda: not one.client.connected, 2)
    status = await school.call("GET", f"/api/live-sessions/{session}/status", students[1])
    assert status.body["seats"]["taken"] == 0


async def test_a_lost_link_keeps_the_seat_and_the_slot(school: School) -> None:
    _, students, _, session = await _class(school, seats=1)
    one = await school.enter(students[0], session, process=0)
    await until(lambda: one.heard("welcome"))
    slot = one.heard("welcome")[0]["you"]["slot"]
    await one.close()
    full = await school.join(students[1], session)
    assert (full.status, full.code) == (409, "session_full")
    back = await school.enter(students[0], session, process=1)
    await until(lambda: back.heard("welcome"))
    assert back.heard("welcome")[0]["you"]["slot"] == slot


async def test_staff_take_no_seat(school: School) -> None:
    teacher, students, _, session = await _class(school, seats=1)
    desk = await school.enter(teacher, session)
    await until(lambda: desk.heard("welcome"))
    assert (await school.join(students[0], session)).status == 200
