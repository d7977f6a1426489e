"""The connections below the sockets: silence is counted from the last packet, strangers do not stay."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp

from liveserver.config import Running
from liveserver.models.ids import uuid7
from media.control import WorkerClient
from tests.builders import Person, School, until


async def _open(school: School, ticket: str | None) -> aiohttp.ClientWebSocketResponse:
    """A bare engine.io connection, so that a test decides what is answered."""
    url = school.product.url().replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    socket = await school.client.ws_connect(url, autoping=False)
    await socket.receive()
    if ticket is not None:
        await socket.send_str("40/classroom," + json.dumps({"ticket": ticket, "device": "d"}))
    return socket


async def _class(school: School) -> tuple[Person, Person, str]:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    return teacher, student, await school.session(teacher, course)


async def test_a_silent_link_ends_the_stay_at_the_last_packet_heard(school: School) -> None:
    teacher, student, session = await _class(school)
    ticket = (await school.join(student, session)).body["ticket"]
    socket = await _open(school, ticket)
    while True:  # answer two pings as a browser does, then fall silent
        message = await socket.receive(timeout=15)
        if message.data == "2":
            await socket.send_str("3")
            heard = datetime.now(UTC)
            break
    begun = asyncio.get_running_loop().time()
    while True:
        report = await school.call("GET", f"/api/live-sessions/{session}/attendance", teacher)
        row = next(one for one in report.body["students"] if one["studentId"] == student.id)
        if row["intervals"] and "leftAt" in row["intervals"][0]:
            break
        assert asyncio.get_running_loop().time() - begun < 25, "it takes 20 s of silence, and no more"
        await asyncio.sleep(0.5)
    left = datetime.fromisoformat(row["intervals"][0]["leftAt"])
    assert abs(left - heard) < timedelta(seconds=1.5)
    status = (await school.call("GET", f"/api/live-sessions/{session}/status", student)).body["mine"]
    assert status["state"] == "grace"
    until_ = datetime.fromisoformat(status["until"])
    assert abs(until_ - heard - timedelta(seconds=60)) < timedelta(seconds=1.5), "grace begins there, too"
    await socket.close()


async def _closed_within(socket: aiohttp.ClientWebSocketResponse, seconds: float) -> bool:
    async def drained() -> None:
        while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass

    try:
        await asyncio.wait_for(drained(), seconds)
    except TimeoutError:
        return False
    return True


async def test_who_comes_and_never_enters_is_put_out(school: School) -> None:
    socket = await _open(school, None)
    assert await _closed_within(socket, 14)


async def test_who_is_refused_again_and_again_is_put_out(school: School) -> None:
    socket = await _open(school, None)
    for _ in range(5):
        await socket.send_str('40/classroom,{"ticket":"x"}')
    assert await _closed_within(socket, 4)


async def test_media_without_a_seat_is_cut_though_nobody_told(school: School) -> None:
    _, _, session = await _class(school)
    running = Running.model_validate_json((school.product.state / "run.json").read_text())

    def nothing(*_args: Any) -> None:
        """Events of this second control connection are the product's business."""

    worker = WorkerClient(str(running.control_socket(0)), nothing, nothing)
    talking = asyncio.create_task(worker.run())
    try:
        await worker.ready(5)
        stranger = str(uuid7())
        await worker.attach(session, stranger, staff=False, device="d", fence=1)
        assert stranger in (await worker.occupants())[session]
        for _ in range(40):
            await asyncio.sleep(0.25)
            if stranger not in (await worker.occupants()).get(session, {}):
                break
        else:
            raise AssertionError("it is still there after ten seconds")
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)


async def test_signing_out_frees_a_seat_that_waits_for_its_link(school: School) -> None:
    teacher, student, session = await _class(school)
    socket = await school.enter(student, session)
    await until(lambda: socket.heard("welcome"))
    await socket.close()
    await _seats_taken(school, teacher, session, 1)
    assert (await school.call("POST", "/api/auth/logout", student)).status == 204
    await _seats_taken(school, teacher, session, 0)


async def _seats_taken(school: School, who: Person, session: str, count: int) -> None:
    for _ in range(30):
        status = (await school.call("GET", f"/api/live-sessions/{session}/status", who)).body
        if status["seats"]["taken"] == count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{status} where {count} should be taken")


async def test_who_lost_the_right_unheard_is_out_at_the_next_renewal(school: School) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    socket = await school.enter(student, session)
    await until(lambda: socket.heard("welcome"))
    # As if the ledger and the bus had been away when it happened.
    await school.database.execute(
        "UPDATE enrollments SET removed_at = now() WHERE student_id = $1", UUID(student.id)
    )
    await until(lambda: not socket.client.connected, 12)
    taken = (await school.call("GET", f"/api/live-sessions/{session}/status", teacher)).body["seats"]["taken"]
    assert taken == 0
