"""Watching in a real browser: plays, seeks, goes on where it was left; and the API's page."""

import asyncio
import io
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.builders import Person, School
from tests.videos import make_video

_LENGTH = 75
_STATE = """() => {
  const video = document.querySelector('video');
  return {
    at: video.currentTime, width: video.videoWidth, duration: video.duration,
    dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
    shown: video.getVideoPlaybackQuality().totalVideoFrames,
  };
}"""


async def _lecture(school: School, folder: Path) -> tuple[Person, Person, str]:
    owner, student = await school.register("instructor"), await school.register()
    course = await school.course(owner)
    await school.call("POST", f"/api/courses/{course}/enroll", student)
    data = make_video(folder / "v.mp4", seconds=_LENGTH).read_bytes()
    body = {"purpose": "video", "fileName": "v.mp4", "contentType": "video/mp4", "size": len(data)}
    plan = (await school.call("POST", "/api/uploads/signed-url", owner, json=body)).body
    async with school.client.put(
        plan["parts"][0]["url"], data=io.BytesIO(data), headers={"Content-Type": "video/mp4"}
    ) as put:
        assert put.status == 200
    await school.call("POST", f"/api/uploads/{plan['id']}/complete", owner)
    tree = (await school.call("GET", f"/api/instructor/courses/{course}", owner)).body
    lesson = await school.lesson(
        owner, tree["sections"][0]["id"], type="video", title="درس مصوّر", contentUrl=plan["contentUrl"]
    )
    for _ in range(600):
        if (await school.call("GET", f"/api/uploads/{plan['id']}", owner)).body["status"] == "ready":
            return owner, student, lesson
        await asyncio.sleep(0.1)
    raise AssertionError("the video is not ready")


async def _state(page: Page) -> Any:
    return await page.evaluate(_STATE)


async def _play(page: Page) -> None:
    await expect(page.locator("video")).to_be_visible()
    await page.evaluate(
        "() => { const v = document.querySelector('video'); v.muted = true; return v.play(); }"
    )
    await page.wait_for_function("() => document.querySelector('video').currentTime > 0.5", timeout=15_000)


async def test_a_video_plays_for_a_minute_seeks_and_goes_on_elsewhere(
    school: School, open_page: OpenPage, tmp_path: Path
) -> None:
    _, student, lesson = await _lecture(school, tmp_path)
    address = f"/lessons/{lesson}"
    page = await open_page(student.email)
    await page.goto(school.product.url() + address)
    await expect(page.locator("video")).to_be_visible()
    await _play(page)
    assert student.email in (await page.locator("[aria-hidden] > span").first.inner_text())
    await page.evaluate("() => document.querySelector('[aria-hidden] > span').remove()")
    await expect(page.locator("[aria-hidden] > span").first).to_be_attached()
    before = await _state(page)
    assert abs(before["duration"] - _LENGTH) < 1
    await asyncio.sleep(60)
    after = await _state(page)
    assert 57 <= after["at"] - before["at"] <= 63, "a minute of it in a minute"
    assert after["dropped"] <= 0.1 * after["shown"]
    await page.evaluate("() => { document.querySelector('video').currentTime = 10; }")
    await page.wait_for_function("() => document.querySelector('video').currentTime > 12", timeout=10_000)
    watched = await school.database.fetchval(
        "SELECT watched_seconds FROM lesson_progress WHERE lesson_id = $1 AND student_id = $2",
        lesson,
        student.id,
    )
    assert 50 <= watched <= 70
    await page.evaluate("() => document.querySelector('video').pause()")
    at = (await _state(page))["at"]
    await page.goto(school.product.url() + "/")

    phone = await open_page(student.email, process=1, language="ar", width=360)
    await phone.goto(school.product.url(1) + address)
    await _play(phone)
    assert at - 6 <= (await _state(phone))["at"] <= at + 6, "it goes on where it was left"
    wide = await phone.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    await phone.screenshot(path=".cache/lesson-phone-ar.png")
    tablet = await open_page(student.email)
    await tablet.goto(school.product.url() + address)
    await _play(tablet)
    third = await open_page(student.email)
    await third.goto(school.product.url() + address)
    await expect(third.get_by_text("Too many videos at once")).to_be_visible()


async def test_the_api_page_lists_the_routes(school: School, open_page: OpenPage) -> None:
    student = await school.register()
    page = await open_page(student.email)
    await page.goto(school.product.url() + "/docs")
    await expect(page.locator("rapi-doc").get_by_text("Join session").first).to_be_visible(timeout=20_000)
    await page.screenshot(path=".cache/docs.png")
