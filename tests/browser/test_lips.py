"""Lips move with the words, and a picture stays smooth where sound waits for it."""

import asyncio

from playwright.async_api import Page

from tests.browser.conftest import OpenPage
from tests.browser.links import relayed
from tests.browser.taught import SEEN, enter, taught, until_quality, with_a_speaker
from tests.builders import School

# How far the picture is ahead of the sound, in ms of the sender's clock; null until both clocks are known.
_LIPS = """async () => {
  const at = {};
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'inbound-rtp' && (one.mid === '1' || one.mid === '2'))
      at[one.kind] = one.estimatedPlayoutTimestamp;
  });
  return at.audio && at.video ? at.video - at.audio : null;
}"""


# How long the browser is told to wait with each kind, in ms.
_WAITS = """() => Object.fromEntries(window.liveserverClass.media.subscriber.pc.getReceivers()
  .map((receiver) => [receiver.track.kind, receiver.jitterBufferTarget]))"""


async def _lips(page: Page, script: str = _LIPS) -> float:
    """Return how far picture and sound are from each other, in milliseconds: the median of eleven looks."""
    offsets: list[float] = []
    for _ in range(60):
        offset = await page.evaluate(script)
        if offset is not None:
            offsets.append(abs(offset))
        if len(offsets) == 11:
            break
        await asyncio.sleep(0.5)
    print(f"picture and sound are {sorted(offsets)} ms apart")
    assert len(offsets) == 11
    return sorted(offsets)[5]


async def test_lips_move_with_the_words(school: School, open_page: OpenPage) -> None:
    session, page = await taught(school, open_page)
    await enter(page, school, session, "Join the class")
    await until_quality(page, 2, 30)
    assert await _lips(page) < 80


async def test_a_picture_stays_smooth_over_a_link_that_loses_packets(
    school: School, open_page: OpenPage
) -> None:
    session, page = await taught(school, open_page)
    async with relayed(page, school.product) as relay:
        await enter(page, school, session, "Join the class")
        await until_quality(page, 2, 30)
        for link in (relay.down, relay.up):
            link.loss, link.delay, link.jitter = 0.05, 0.05, 0.02
        await asyncio.sleep(8)
        before = await page.evaluate(SEEN)
        await asyncio.sleep(15)
        after = await page.evaluate(SEEN)
        assert after["frozen"] - before["frozen"] <= 0.02 * 15
        assert after["decoded"] - before["decoded"] > 0.9 * 20 * 15
        waits = await page.evaluate(_WAITS)
        print(f"a browser is told to wait {waits} ms")
        assert waits["audio"] > waits["video"] > 0
        assert await _lips(page) < 120, "the sound waits with the picture"


# How much longer after its capture a student's picture is played than the sound, in ms; null until both are.
# Browsers tell nothing of what they do not play in step, but all we send is stamped by one clock: at 90 and
# 48 kHz in 32 bits, so what is told is known but for multiples of `turn`.
_LIPS_OF = """(who) => {
  const after = {};
  const { slots } = window.liveserverClass.snapshot();
  const { pc } = window.liveserverClass.media.subscriber;
  for (const { mid, receiver } of pc?.getTransceivers() ?? []) {
    const slot = slots.find((one) => one.mid === mid && one.participant === who);
    const [played] = slot ? receiver.getSynchronizationSources() : [];
    if (played) after[slot.kind] = played.timestamp - played.rtpTimestamp / (slot.kind === 'audio' ? 48 : 90);
  }
  const apart = after.video - after.audio, turn = 2 ** 32 / 720;
  return Number.isNaN(apart) ? null : apart - Math.round(apart / turn) * turn;
}"""


async def test_the_lips_of_who_has_the_floor_move_with_their_words(
    school: School, open_page: OpenPage
) -> None:
    teacher, (student, viewer) = await school.register("instructor"), await school.students(2)
    course = await school.course(teacher)
    await school.enroll([student, viewer], course)
    session = await school.session(teacher, course, seats=2)
    speaker = await with_a_speaker(school, open_page, teacher, student, session)
    await speaker.get_by_role("button", name="Unmute").click()
    page, lips = await open_page(viewer.email), f"() => ({_LIPS_OF})('{student.id}')"
    async with relayed(page, school.product) as relay:
        await enter(page, school, session, "Join the class")
        assert await _lips(page, lips) < 80
        for link in (relay.down, relay.up):
            link.delay, link.jitter = 0.05, 0.1
        await asyncio.sleep(10)
        assert await _lips(page, lips) < 80
