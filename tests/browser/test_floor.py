"""More students have the floor than the stage shows: who speaks into a real browser is heard and seen."""

import asyncio
from typing import Any

from playwright.async_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.links import relayed
from tests.browser.taught import enter, give_the_floor, with_a_speaker
from tests.builders import Person, School, until
from tests.voices import QUIET, Voice

OTHERS = 6
_STAGE = """(who) => window.liveserverClass.snapshot().slots
  .filter((slot) => slot.participant === who).map((slot) => [slot.stage, slot.source])"""
_DECODED = """async (who) => {
  const slots = window.liveserverClass.snapshot().slots;
  const mids = slots.filter((slot) => slot.participant === who).map((slot) => slot.mid);
  let heard = 0, seen = 0;
  ((await window.liveserverClass.stats()) ?? new Map()).forEach((one) => {
    if (one.type !== 'inbound-rtp' || !mids.includes(one.mid)) return;
    seen += one.framesDecoded ?? 0;
    heard += one.totalAudioEnergy ?? 0;
  });
  return [heard, seen];
}"""


async def _speak(voices: list[Voice]) -> None:
    while True:
        for voice in voices:
            voice.say(QUIET)
        await asyncio.sleep(0.02)


def _has_floor(changes: list[Any], who: Person) -> bool:
    return any(one["userId"] == who.id and one["floor"] for one in changes)


async def test_who_has_the_floor_and_finds_the_stage_full_comes_on_by_speaking(
    school: School, open_page: OpenPage
) -> None:
    teacher = await school.register("instructor")
    student, *others = await school.students(1 + OTHERS)
    course = await school.course(teacher)
    await school.enroll([student, *others], course)
    session = await school.session(teacher, course, seats=1 + OTHERS)
    desk = await open_page(teacher.email)
    await enter(desk, school, session, "Enter the class")
    await expect(desk.get_by_role("button", name="End for all")).to_be_visible()

    voices = [Voice() for _ in others]
    for voice, one in zip(voices, others, strict=True):
        socket = await school.enter(one, session)
        await give_the_floor(desk, one)
        await until(lambda heard=socket.heard, one=one: _has_floor(heard("attendee"), one))
        answer = await socket.ask("media.publish", {"sdp": voice.offer(), "sources": voice.sources})
        assert answer["ok"]["refused"] == {}
        await voice.connect(answer["ok"]["sdp"])
    speaking = asyncio.create_task(_speak(voices))
    try:
        page = await open_page(student.email, width=390, language="ar")
        await enter(page, school, session, "انضم إلى الحصة")
        await page.wait_for_function("() => window.liveserverClass?.snapshot().attendees.size === 8")
        await give_the_floor(desk, student)

        # The places are taken, and the camera says nothing: its owner sees it, and is told how to be seen.
        await page.get_by_role("button", name="تشغيل الكاميرا").click()
        waiting = page.get_by_text("المنصة ممتلئة الآن")
        await expect(waiting).to_be_visible()
        await expect(page.locator("figure video[data-mine=true]")).to_be_visible()
        assert await desk.evaluate(_STAGE, student.id) == []
        await page.screenshot(path=".cache/floor-phone-ar.png")

        # The fake microphone beeps loudly each second.
        await page.get_by_role("button", name="إلغاء الكتم").click()
        on_stage: Any = [["student", "microphone"], ["student", "camera"]]
        await desk.wait_for_function(
            f"([who, wanted]) => JSON.stringify(({_STAGE})(who)) === wanted",
            arg=[student.id, '[["student","microphone"],["student","camera"]]'],
            timeout=15_000,
        )
        assert await desk.evaluate(_STAGE, student.id) == on_stage
        await expect(waiting).not_to_be_visible()
        before = await desk.evaluate(_DECODED, student.id)
        await asyncio.sleep(3)
        heard, seen = await desk.evaluate(_DECODED, student.id)
        assert heard > before[0]
        assert seen > before[1] + 20
        await desk.screenshot(path=".cache/floor-desk.png")
    finally:
        speaking.cancel()
        for voice in voices:
            voice.close()


_QUALITIES = """(who) => {
  const { slots, quality } = window.liveserverClass.snapshot();
  const of = (one) => slots.find((slot) => slot.participant === one && slot.source === 'camera')?.mid;
  return who.map((one) => quality[of(one)]?.quality ?? null);
}"""


async def test_who_is_pinned_is_large_and_the_first_that_a_thin_link_carries(
    school: School, open_page: OpenPage
) -> None:
    teacher, (student, viewer) = await school.register("instructor"), await school.students(2)
    course = await school.course(teacher)
    await school.enroll([student, viewer], course)
    session = await school.session(teacher, course, seats=2)
    await with_a_speaker(school, open_page, teacher, student, session)
    page = await open_page(viewer.email, width=390, language="ar")
    async with relayed(page, school.product) as relay:
        await enter(page, school, session, "انضم إلى الحصة")
        both = [teacher.id, student.id]
        await page.wait_for_function(f"(who) => ({_QUALITIES})(who).every((one) => one !== null)", arg=both)
        figures = page.locator("figure")
        await expect(figures.nth(0)).to_contain_text(teacher.email)
        relay.down.rate = 300_000
        carried = (
            f"([who, first]) => JSON.stringify(({_QUALITIES})(who)) === (first ? '[0,null]' : '[null,0]')"
        )
        await page.wait_for_function(carried, arg=[both, True], timeout=30_000)
        await page.screenshot(path=".cache/pin-phone-ar-before.png")

        await page.get_by_role("button", name=f"عرض {student.email} كبيرًا").click()
        await expect(figures.nth(0)).to_contain_text(student.email)
        await page.wait_for_function(carried, arg=[both, False], timeout=30_000)
        await page.screenshot(path=".cache/pin-phone-ar.png")
        await page.get_by_role("button", name=f"عرض {student.email} كما كان").click()
        await expect(figures.nth(0)).to_contain_text(teacher.email)
        await page.wait_for_function(carried, arg=[both, True], timeout=30_000)
