"""Other systems are told what happens: signed, tried again, and never inside our own network."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from liveserver.outside.posting import Poster, is_public
from tests.builders import School
from tests.product import Product, free_ports


class _Receiver:
    """A system that is told; `status` is what it answers."""

    def __init__(self) -> None:
        self.port = free_ports(1)
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status)

    async def events(self, count: int) -> list[Any]:
        for _ in range(150):
            if len(self.got) >= count:
                break
            await asyncio.sleep(0.1)
        return [json.loads(body) for _, body in self.got]


@pytest.fixture(scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[School, _Receiver]]:
    receiver = _Receiver()
    runner = await receiver.serve()
    settings = {"LIVE_WEBHOOKS__ALLOW_PRIVATE": "true"}
    with Product(tmp_path_factory.mktemp("hooks") / "state", processes=2, settings=settings) as product:
        async with aiohttp.ClientSession() as client:
            school = await School.open(product, client)
            yield school, receiver
            await school.close()
    await runner.cleanup()


async def test_what_happens_is_told_once_and_signed(told: tuple[School, _Receiver]) -> None:
    school, receiver = told
    admin = await school.login("admin@example.com")
    body = {
        "url": f"http://127.0.0.1:{receiver.port}/hook",
        "events": ["enrollment.created", "session.started", "attendance.final"],
    }
    hook = (await school.call("POST", "/api/admin/webhooks", admin, json=body)).body
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    session = await school.session(owner, course)
    await school.call("POST", f"/api/live-sessions/{session}/end", owner)
    events = await receiver.events(3)
    await asyncio.sleep(1)
    assert sorted(one["event"] for one in events) == [
        "attendance.final",
        "enrollment.created",
        "session.started",
    ]
    assert len(receiver.got) == 3
    assert {one["data"].get("courseId") for one in events} == {course}
    for headers, raw in receiver.got:
        at, _, signature = headers["Liveserver-Signature"].removeprefix("t=").partition(",v1=")
        expected = hmac.new(hook["secret"].encode(), f"{at}.".encode() + raw, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(signature, expected)

    receiver.status = 500
    await school.call("POST", f"/api/courses/{await school.course(owner)}/enroll", student)
    await receiver.events(4)
    log = []
    for _ in range(50):
        log = (await school.call("GET", f"/api/admin/webhooks/{hook['id']}/deliveries", admin)).body["items"]
        if log[0]["attempts"]:
            break
        await asyncio.sleep(0.1)
    assert (log[0]["status"], log[0]["response"], log[0]["attempts"]) == ("pending", "500", 1)
    receiver.status = 200
    await receiver.events(5)
    for _ in range(50):
        log = (await school.call("GET", f"/api/admin/webhooks/{hook['id']}/deliveries", admin)).body["items"]
        if log[0]["status"] == "delivered":
            break
        await asyncio.sleep(0.1)
    assert (log[0]["status"], log[0]["attempts"]) == ("delivered", 2), "tried again after ten seconds"
    assert [one["status"] for one in log[1:]] == ["delivered"] * 3
    assert (await school.call("DELETE", f"/api/admin/webhooks/{hook['id']}", admin)).status == 204


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "64:ff9b:1::7f00:1",
        "2001:0:7f00:1::",
        "::127.0.0.1",
        "fec0::1",
    ],
)
def test_addresses_of_our_own_network_are_told_apart(address: str) -> None:
    assert not is_public(address)


def test_addresses_of_the_internet_are_public() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/", "http://0x7f.1:9/"]
)
async def test_nothing_is_posted_into_our_own_network(url: str) -> None:
    answer = await Poster(allow_private=False).post(url, b"{}", {})
    assert answer in {"not_a_public_address", "no_such_host"}
