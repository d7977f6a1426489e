"""Firefox in a class, beside Chromium: it watches and sends, in qualities, restarts ICE, goes over TCP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.browser import firefox
from tests.browser.conftest import OpenPage
from tests.browser.firefox import Firefox, FirefoxPage
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


async def _enter(fox: Firefox, product: Product, who: Person, session: str, button: str) -> FirefoxPage:
    page = await fox.open(product.url() + "/sign-in")
    await page.until("() => Boolean(document.querySelector('input[type=email]'))")
    await page.type("input[type=email]", who.email)
    await page.type("input[type=password]", PASSWORD)
    await page.evaluate("() => document.querySelector('button[type=submit]').click()")
    await page.until("() => location.pathname", "/classes")
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
