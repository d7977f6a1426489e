"""Slides come through whatever a link carries, late if need be, and sharp."""

import asyncio
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.links import relayed
from tests.browser.taught import SLIDES, SOUND, begun, enter, looked, taught
from tests.builders import School

_SCREEN = """async () => {
  const seen = {};
  ((await window.liveserverClass.stats()) ?? new Map()).forEach((one) => {
    if (one.type === 'inbound-rtp' && one.mid === '0')
      Object.assign(seen, { decoded: one.framesDecoded, height: one.frameHeight });
  });
  const { quality } = window.liveserverClass.snapshot();
  return { ...seen, screen: quality['0'], camera: quality['1'] };
}"""


async def _screen(page: Page, seconds: float, *, height: int | None = None, **wanted: Any) -> Any:
    """Wait until screen or camera are sent in a quality, or not for a reason; the screen so high, if so."""

    def is_told(seen: Any) -> bool:
        found = {one: seen.get(one) or {} for one in wanted}
        told = all(wanted[one] in {found[one].get("quality"), found[one].get("paused")} for one in wanted)
        return told and height in {None, seen.get("height")}

    return await looked(page, _SCREEN, is_told, seconds)


async def test_over_100_kbit_slides_come_late_beside_sound_that_is_whole(
    school: School, open_page: OpenPage
) -> None:
    session, page = await taught(school, open_page, slides=True)
    async with relayed(page, school.product) as relay:
        await enter(page, school, session, "Join the class")
        await _screen(page, 30, screen=1)
        relay.down.rate = 100_000
        await _screen(page, 20, screen=0, camera="bandwidth")
        await asyncio.sleep(6)
        before, heard = await page.evaluate(_SCREEN), await page.evaluate(SOUND)
        await asyncio.sleep(30)
        after, now = await page.evaluate(_SCREEN), await page.evaluate(SOUND)
        made_up = (now["made_up"] - heard["made_up"]) / (now["all"] - heard["all"])
        print(
            f"{after['decoded'] - before['decoded']} pictures of slides, {made_up:.3f} of the sound concealed"
        )
        assert after["decoded"] >= before["decoded"] + 5
        assert made_up < 0.06
        relay.down.rate = None
        await _screen(page, 60, screen=1)


# The poorest quality of the screen is made as large as the best.
_IS_SHARP = """() => window.liveserverClass.media.publisher.pc.getSenders().some((sender) => {
  const encodings = sender.getParameters().encodings;
  return encodings.length === 2 && encodings[0].scaleResolutionDownBy === 1;
})"""


async def test_slides_stay_sharp_when_the_teachers_link_has_no_room_for_their_best_quality(
    school: School, open_page: OpenPage
) -> None:
    session, at_desk, page = await begun(school, open_page)
    async with relayed(at_desk, school.product) as relay:
        await enter(at_desk, school, session, "Enter the class")
        await expect(at_desk.get_by_role("button", name="End for all")).to_be_visible()
        await at_desk.evaluate(SLIDES)
        await enter(page, school, session, "Join the class")
        await _screen(page, 40, screen=1, height=720)
        relay.up.rate = 700_000
        await at_desk.wait_for_function(_IS_SHARP, timeout=40_000)
        await asyncio.sleep(5)
        await _screen(page, 30, screen=0, height=720)
        before = await page.evaluate(_SCREEN)
        await asyncio.sleep(10)
        after = await page.evaluate(_SCREEN)
        assert after["decoded"] >= before["decoded"] + 30
        assert after["height"] == 720
        relay.up.rate = None
        await _screen(page, 90, screen=1, height=720)


async def test_who_saves_data_gets_slides_and_sound(school: School, open_page: OpenPage) -> None:
    session, page = await taught(school, open_page, slides=True)
    await page.evaluate("localStorage.setItem('liveserver.data', JSON.stringify({ plan: 'least', cap: 0 }))")
    await enter(page, school, session, "Join the class")
    await _screen(page, 30, screen=0, camera="limit")
    before = await page.evaluate(_SCREEN)
    await asyncio.sleep(12)
    assert (await page.evaluate(_SCREEN))["decoded"] >= before.get("decoded", 0) + 10
    await _screen(page, 1, screen=0, camera="limit")
