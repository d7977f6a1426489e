"""A class in real browsers, begun, and how it looks on a page."""

import asyncio
from collections.abc import Callable
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.builders import Person, School

# Of the teacher's camera, and what the page was told of it.
SEEN = """async () => {
  const seen = {};
  ((await window.liveserverClass.stats()) ?? new Map()).forEach((one) => {
    if (one.type === 'inbound-rtp' && one.mid === '1') {
      seen.height = one.frameHeight;
      seen.decoded = one.framesDecoded;
      seen.frozen = one.totalFreezesDuration;
    }
  });
  return { ...seen, quality: window.liveserverClass.snapshot().quality['1'] };
}"""
# Of the teacher's microphone: samples that were played, and those of them that had to be made up.
SOUND = """async () => {
  const sound = {};
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'inbound-rtp' && one.mid === '2')
      Object.assign(sound, { all: one.totalSamplesReceived, made_up: one.concealedSamples });
  });
  return sound;
}"""
# A screen that shows another page of text every ten seconds.
SLIDES = """() => {
  navigator.mediaDevices.getDisplayMedia = async () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [1280, 720];
    const pen = canvas.getContext('2d');
    let page = 0;
    const turn = () => {
      page += 1;
      pen.fillStyle = '#fff';
      pen.fillRect(0, 0, 1280, 720);
      pen.fillStyle = '#123';
      pen.font = '22px sans-serif';
      for (let line = 0; line < 16; line++)
        pen.fillText(`Page ${page}: ${Math.random()} ${Math.random()} ${Math.random()}`, 80, 100 + line * 34);
    };
    turn();
    setInterval(turn, 10000);
    const stream = canvas.captureStream(0);
    setInterval(() => { pen.fillRect(0, 0, 1, 1); stream.getVideoTracks()[0].requestFrame(); }, 100);
    return stream;
  };
  return window.liveserverClass.toggle('screen');
}"""


async def enter(page: Page, school: School, session: str, button: str) -> None:
    await page.goto(f"{school.product.url()}/classes/{session}")
    await page.get_by_role("button", name=button).click()


async def begun(school: School, open_page: OpenPage) -> tuple[str, Page, Page]:
    """A class, the page of its teacher, who is seen, and that of a student who has not joined."""
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    at_desk = await open_page(teacher.email)
    await enter(at_desk, school, session, "Enter the class")
    return session, at_desk, await open_page(student.email)


async def taught(school: School, open_page: OpenPage, *, slides: bool = False) -> tuple[str, Page]:
    """A class with slides or without, and the page of a student who has not joined."""
    session, at_desk, page = await begun(school, open_page)
    if slides:
        await expect(at_desk.get_by_role("button", name="End for all")).to_be_visible()
        await at_desk.evaluate(SLIDES)
    return session, page


async def with_a_speaker(
    school: School, open_page: OpenPage, teacher: Person, student: Person, session: str
) -> Page:
    """The teacher is seen, and a student who has the floor; return the student's page."""
    desk, page = await open_page(teacher.email), await open_page(student.email)
    await enter(desk, school, session, "Enter the class")
    await enter(page, school, session, "Join the class")
    await expect(page.get_by_role("button", name="Raise hand")).to_be_visible()
    await give_the_floor(desk, student)
    await page.get_by_role("button", name="Camera on").click()
    return page


async def give_the_floor(desk: Page, who: Person) -> None:
    await desk.evaluate("(who) => window.liveserverClass.giveFloor(who)", who.id)


async def looked(page: Page, script: str, holds: Callable[[Any], bool], seconds: float) -> Any:
    """Look at a page until what it says is as it should be; return that."""
    seen: Any = None
    for _ in range(int(seconds / 0.25)):
        seen = await page.evaluate(script)
        if holds(seen):
            return seen
        await asyncio.sleep(0.25)
    raise AssertionError(f"not in {seconds} s: {seen}")


async def until_quality(page: Page, quality: int, seconds: float) -> Any:
    """Wait until the teacher's camera is seen in a quality; return how it looks."""

    def is_seen(seen: Any) -> bool:
        told = (seen["quality"] or {}).get("quality")
        return bool(told == quality and seen.get("height") == 180 << quality)

    return await looked(page, SEEN, is_seen, seconds)
