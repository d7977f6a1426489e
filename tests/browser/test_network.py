"""The network test says what a class would find: by the same way, of the same workers."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from liveserver.config import Running
from media.control import WorkerClient
from tests.browser.conftest import OpenPage
from tests.browser.links import relayed
from tests.browser.test_class import WITHOUT_UDP
from tests.builders import School

_NO_WAY = WITHOUT_UDP.replace("1 udp", "1 (?:udp|tcp)")


async def _verdict(page: Page, school: School) -> str | None:
    await page.goto(school.product.url() + "/network-test")
    await page.get_by_role("button", name="Start the test").click()
    result = page.locator("[data-verdict]")
    await expect(result).to_be_visible(timeout=40_000)
    return await result.get_attribute("data-verdict")


async def _rooms(school: School) -> list[str]:
    running = Running.model_validate_json((school.product.state / "run.json").read_text())
    client = WorkerClient(str(running.control_socket(0)), lambda _name, _facts: None, lambda: None)
    task = asyncio.create_task(client.run())
    await client.ready(10)
    rooms = await client.occupants()
    task.cancel()
    return [room for room in rooms if room.startswith("test-")]


async def test_a_good_network_carries_everything_and_the_room_is_gone_afterwards(
    school: School, open_page: OpenPage
) -> None:
    page = await open_page((await school.register("instructor")).email)
    assert await _verdict(page, school) == "teach"
    await expect(page.get_by_text("UDP is blocked")).to_have_count(0)
    assert await _rooms(school) == []


async def test_a_slow_way_up_carries_no_camera(school: School, open_page: OpenPage) -> None:
    page = await open_page((await school.register()).email)
    async with relayed(page, school.product) as relay:
        relay.up.rate = 100_000
        assert await _verdict(page, school) in {"watch", "sound"}


@pytest.mark.parametrize(("script", "verdict"), [(WITHOUT_UDP, "tcp"), (_NO_WAY, "nothing")])
async def test_what_is_blocked_is_said(
    school: School, open_page: OpenPage, script: str, verdict: str
) -> None:
    page = await open_page((await school.register()).email)
    await page.add_init_script(script)
    found = await _verdict(page, school)
    if verdict == "tcp":
        assert found in {"teach", "camera"}
        await expect(page.get_by_text("UDP is blocked here")).to_be_visible()
    else:
        assert found == "nothing"


async def test_who_may_not_is_refused_and_a_test_that_was_left_is_ended(school: School) -> None:
    person = await school.register()
    for event, body, who, status in (
        ("media.publish", {"sdp": "v=0", "sources": {}}, None, 401),
        ("media.publish", {"sdp": "v=0", "sources": {}, "more": 1}, person, 422),
        ("media.publish", {"sdp": "v=0\r\ns=-\r\nt=0 0\r\n", "sources": {}}, person, 422),
        ("media.answer", {"sdp": "v=0\r\ns=-\r\nt=0 0\r\n"}, await school.register(), 404),
        ("chat.say", {"text": "x"}, person, 404),
    ):
        answer = await school.call("POST", f"/network-test/{event}", who, json=body)
        assert answer.status == status, (event, answer)
    assert len(await _rooms(school)) == 1
    assert (await school.call("DELETE", "/network-test", person, process=1)).status == 204
    assert await _rooms(school) == []
    statuses = [
        (await school.call("POST", "/network-test/media.publish", person, json={})).status for _ in range(20)
    ]
    assert statuses[-1] == 429
