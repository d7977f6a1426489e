"""Firefox in a class, beside Chromium: it watches and sends, in qualities, restarts ICE, goes over TCP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.browser import firefox
from tests.browser.conftest import OpenPage
from tests.browser.firefox import Firefox, FirefoxPage
from tests.browser.test_class import PROTOCOLS, UFRAGS, WITHOUT_UDP
from tests.builders import Person, School
from tests.product import PASSWORD, Product

_SEEN = """async () => {
  const seen = {};
  const report = (await window.liveserverClass?.stats()) ?? new Map();
  report.forEach((one) => {
    if (one.type === 'inbound-rtp' && (one.framesDecoded ?? one.packetsReceived) > 10)
      seen[one.kind] = one.kind === 'video' ? [one.frameWidth, one.frameHeight] : true;
  });
  return seen;
}"""
_DECODED = """async () => {
  let decoded = 0;
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'inbound-rtp' && one.kind === 'video') decoded += one.framesDecoded ?? 0;
  });
  return decoded;
}"""
_SENT = """async () => {
  const sent = [];
  (await window.liveserverClass.media.publisher.pc.getStats()).forEach((one) => {
    if (one.type === 'outbound-rtp' && one.kind === 'video' && one.framesSent > 10) sent.push(one.rid);
  });
  return sent.sort();
}"""


@pytest.fixture(scope="module")
async def fox() -> AsyncIterator[Firefox]:
    path = firefox.find()
    if path is None:
        pytest.skip("there is no Firefox here")
    async with firefox.running(path) as running:
        yield running


async def _enter(
    fox: Firefox, product: Product, who: Person, session: str, button: str, *, script: str = ""
) -> FirefoxPage:
    page = await fox.open(product.url() + "/sign-in")
    await page.until("() => Boolean(document.querySelector('input[type=email]'))")
    await page.type("input[type=email]", who.email)
    await page.type("input[type=password]", PASSWORD)
    await page.evaluate("() => document.querySelector('button[type=submit]').click()")
    await page.until("() => location.pathname", "/classes")
    if script:
        await page.prepare(script)
    await page.goto(f"{product.url()}/classes/{session}")
    await page.click(button)
    return page


async def _class(school: School, students: int) -> tuple[Person, list[Person], str]:
    teacher = await school.register("instructor")
    pupils = [await school.register() for _ in range(students)]
    course = await school.course(teacher)
    await school.enroll(pupils, course)
    return teacher, pupils, await school.session(teacher, course, seats=students)


async def test_firefox_watches_a_class_of_chromium(school: School, open_page: OpenPage, fox: Firefox) -> None:
    teacher, (pupil,), session = await _class(school, 1)
    at_desk = await open_page(teacher.email)
    await at_desk.goto(f"{school.product.url()}/classes/{session}")
    await at_desk.get_by_role("button", name="Enter the class").click()
    page = await _enter(fox, school.product, pupil, session, "Join the class")
    await page.until(_SEEN, {"video": [1280, 720], "audio": True}, seconds=40)
    for height in (180, 720, 360):  # to a poorer quality and back, each time from a keyframe on
        await page.evaluate(f"() => window.liveserverClass.show('1', {height})")
        await page.until(_SEEN, {"video": [height * 16 // 9, height], "audio": True}, seconds=15)
        before = await page.evaluate(_DECODED)
        await asyncio.sleep(3)
        assert await page.evaluate(_DECODED) - before > 30


async def test_firefox_teaches_in_qualities(school: School, open_page: OpenPage, fox: Firefox) -> None:
    teacher, (pupil,), session = await _class(school, 1)
    desk = await _enter(fox, school.product, teacher, session, "Enter the class")
    page = await open_page(pupil.email)
    await page.goto(f"{school.product.url()}/classes/{session}")
    await page.get_by_role("button", name="Join the class").click()
    await desk.until(_SENT, ["f", "h", "q"], seconds=40)
    await _seen(page, lambda seen: seen.get("audio") and seen["video"][1] >= 480)
    full = await page.evaluate(_SEEN)
    await page.set_viewport_size({"width": 360, "height": 400})
    await _seen(page, lambda seen: seen["video"][1] < full["video"][1])
    await page.set_viewport_size({"width": 1280, "height": 900})
    await _seen(page, lambda seen: seen["video"] == full["video"])


async def _seen(page: Any, enough: Any, seconds: float = 40) -> None:
    seen: Any = None
    for _ in range(int(seconds / 0.25)):
        seen = await page.evaluate(_SEEN)
        if "video" in seen and enough(seen):
            return
        await asyncio.sleep(0.25)
    raise AssertionError(seen)


async def _flows(page: Any) -> None:
    """Wait for three seconds of picture: two Firefoxes that begin keep a small machine busy."""
    await page.until(f"async () => Boolean((await ({_SEEN})()).video)", seconds=40)
    await page.until(f"async () => (await ({_DECODED})()) > 60", seconds=40)


async def test_firefox_finds_a_new_path_by_ice_restart_both_ways(school: School, fox: Firefox) -> None:
    teacher, (pupil,), session = await _class(school, 1)
    desk = await _enter(fox, school.product, teacher, session, "Enter the class")
    page = await _enter(fox, school.product, pupil, session, "Join the class")
    await _flows(page)
    ids = await page.evaluate("() => window.liveserverClass.media.subscriber.id")
    for _ in range(2):
        ways = await page.evaluate(UFRAGS, "subscriber"), await desk.evaluate(UFRAGS, "publisher")
        await page.evaluate(
            "() => window.liveserverClass.media.subscriber.restart(window.liveserverClass.socket)"
        )
        await desk.evaluate(
            "() => window.liveserverClass.media.publisher.negotiate(window.liveserverClass.socket, true)"
        )
        before = await page.evaluate(_DECODED)
        await asyncio.sleep(3)
        assert await page.evaluate(_DECODED) - before > 30
        found = await page.evaluate(UFRAGS, "subscriber"), await desk.evaluate(UFRAGS, "publisher")
        assert all(not set(was) & set(now) for was, now in zip(ways, found, strict=True)), (ways, found)
    assert await page.evaluate("() => window.liveserverClass.media.subscriber.id") == ids


async def test_firefox_goes_over_tcp_where_udp_does_not(school: School, fox: Firefox) -> None:
    teacher, (pupil,), session = await _class(school, 1)
    await _enter(fox, school.product, teacher, session, "Enter the class", script=WITHOUT_UDP)
    page = await _enter(fox, school.product, pupil, session, "Join the class", script=WITHOUT_UDP)
    await page.resize(320, 320)  # it is not to ask for what two cores may not encode in time
    await _flows(page)
    before = await page.evaluate(_DECODED)
    await asyncio.sleep(4)
    moved = await page.evaluate(_DECODED) - before
    assert moved > 40, (moved, before, await page.evaluate(_SEEN))
    protocols = await page.evaluate(PROTOCOLS)
    assert set(protocols) == {"tcp"}
