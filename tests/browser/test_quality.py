"""Each viewer gets what their link carries and their page shows, and nobody pays for another's."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, Page, expect

from media.worker import advertised
from tests.browser.conftest import OpenPage, signed_in
from tests.browser.links import ENCODED, relayed
from tests.browser.taught import SEEN, SOUND, begun, enter, give_the_floor, looked, taught, until_quality
from tests.browser.turn import turn
from tests.builders import School
from tests.product import Product

# Over the pair that carries media; the nomination of it may be answered only after the first pictures.
_WAYS = """async () => {
  const report = await window.liveserverClass.stats();
  const ways = [];
  report.forEach((one) => {
    if (one.type !== 'transport') return;
    const pair = report.get(one.selectedCandidatePairId);
    ways.push(report.get(pair.localCandidateId).candidateType);
  });
  return ways;
}"""
_RELAY_ONLY = """
const Real = RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(configuration) { super({ ...configuration, iceTransportPolicy: 'relay' }); }
};
"""
# A browser that says when packets arrive, and not what its link carries.
_NO_REMB = """
const accept = RTCPeerConnection.prototype.setLocalDescription;
RTCPeerConnection.prototype.setLocalDescription = async function (description) {
  if (!description && this.signalingState === 'have-remote-offer') description = await this.createAnswer();
  if (description?.type !== 'answer') return accept.call(this, description);
  const sdp = description.sdp.replace(/^a=rtcp-fb:.* goog-remb\\r\\n/gm, '');
  return accept.call(this, { type: 'answer', sdp });
};
"""
_SENT = """async () => {
  const sent = {};
  (await window.liveserverClass.media.publisher.pc.getStats()).forEach((one) => {
    if (one.type === 'outbound-rtp' && one.rid) sent[one.rid] = one.active;
  });
  return sent;
}"""


async def test_a_slow_link_gets_a_picture_it_carries_and_the_others_keep_theirs(
    school: School, open_page: OpenPage
) -> None:
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(2)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    session = await school.session(teacher, course, seats=2)
    at_desk = await open_page(teacher.email)
    await enter(at_desk, school, session, "Enter the class")
    slow, fast = [await open_page(one.email) for one in students]
    async with relayed(slow, school.product) as relay:
        for page in (slow, fast):
            await enter(page, school, session, "Join the class")
        for page in (slow, fast):
            await until_quality(page, 2, 30)
        before, sent_before = await fast.evaluate(SEEN), await at_desk.evaluate(ENCODED)
        began = asyncio.get_running_loop().time()

        relay.down.rate = 300_000
        await until_quality(slow, 0, 10)
        at_bottom, sent = await slow.evaluate(SEEN), await at_desk.evaluate(ENCODED)
        await asyncio.sleep(6)
        steady, sent_since = await slow.evaluate(SEEN), await at_desk.evaluate(ENCODED)
        assert steady["quality"]["quality"] == 0, "it stays where it is"
        assert steady["decoded"] - at_bottom["decoded"] > 0.8 * 6 * 20, "and the picture moves"
        assert steady["decoded"] - at_bottom["decoded"] > 0.9 * (sent_since["q"] - sent["q"])

        relay.down.rate = None
        await until_quality(slow, 2, 40)
        after, sent_after = await fast.evaluate(SEEN), await at_desk.evaluate(ENCODED)
        passed = asyncio.get_running_loop().time() - began
        assert after["quality"]["quality"] == 2
        assert after["height"] == 720
        assert after["decoded"] - before["decoded"] > 0.9 * passed * 20
        assert after["decoded"] - before["decoded"] > 0.95 * (sent_after["f"] - sent_before["f"])
        assert after["frozen"] - before["frozen"] < 0.02 * passed

        # Whoever sees it small is sent less, and what nobody watches is not even encoded.
        for page in (slow, fast):
            await page.set_viewport_size({"width": 640, "height": 500})
        for page in (slow, fast):
            await until_quality(page, 1, 15)
        sent = await looked(at_desk, _SENT, lambda sent: not sent["f"], 20)
        assert sent == {"q": True, "h": True, "f": False}
        await fast.set_viewport_size({"width": 1280, "height": 900})
        await until_quality(fast, 2, 20)

    # What the teacher is told afterwards: one of two had a poorer picture, for a part of the time.
    await school.call("POST", f"/api/live-sessions/{session}/end", teacher)
    told = (await school.call("GET", f"/api/live-sessions/{session}/stats", teacher)).body
    quality = told["quality"]
    assert 0.5 * told["minutes"] < quality["minutes"] <= told["minutes"]
    assert 6 / (60 * told["minutes"]) < quality["reduced"] / 100 < 0.5
    assert quality["lost"] < 5


async def test_who_tells_no_estimate_is_sent_what_their_link_carries(
    school: School, open_page: OpenPage
) -> None:
    session, page = await taught(school, open_page)
    await page.add_init_script(_NO_REMB)
    async with relayed(page, school.product) as relay:
        await enter(page, school, session, "Join the class")
        await until_quality(page, 2, 40)
        relay.down.rate, relay.down.queue = 300_000, 5.0  # nothing is lost, but much would be late
        await until_quality(page, 0, 15)
        before = await page.evaluate(SEEN)
        await asyncio.sleep(10)
        after = await page.evaluate(SEEN)
        assert after["decoded"] > before["decoded"] + 150, "of two hundred"
        relay.down.rate = None
        await until_quality(page, 2, 60)


async def test_a_link_that_carries_sound_only_carries_it_whole(school: School, open_page: OpenPage) -> None:
    session, page = await taught(school, open_page)
    async with relayed(page, school.product) as relay:
        await enter(page, school, session, "Join the class")
        await until_quality(page, 2, 30)
        relay.down.rate = 100_000
        await asyncio.sleep(6)
        before = await page.evaluate(SOUND)
        await asyncio.sleep(20)
        after = await page.evaluate(SOUND)
        made_up = (after["made_up"] - before["made_up"]) / (after["all"] - before["all"])
        assert made_up < 0.12, "a picture is tried once or twice, and costs a second of sound each time"
        assert "too weak" in await page.inner_text("main")
        relay.down.rate = None
        await until_quality(page, 2, 60)


# What a browser does when its link becomes thin: the best quality is not sent from now on.
_LEAVE_OUT = """async (sends) => {
  const { pc } = window.liveserverClass.media.publisher;
  for (const sender of pc.getSenders()) {
    const given = sender.getParameters();
    const best = given.encodings.find((one) => one.rid === 'f');
    if (!best) continue;
    best.active = sends;
    await sender.setParameters(given);
  }
}"""


async def test_the_next_quality_is_seen_in_half_a_second_when_the_teachers_link_has_no_room_for_the_best(
    school: School, open_page: OpenPage
) -> None:
    session, at_desk, page = await begun(school, open_page)
    await enter(page, school, session, "Join the class")
    await until_quality(page, 2, 30)
    await asyncio.sleep(3)
    before = await page.evaluate(SEEN)
    await at_desk.evaluate(_LEAVE_OUT, False)
    await until_quality(page, 1, 5)
    await asyncio.sleep(1)
    after = await page.evaluate(SEEN)
    assert after["frozen"] - before["frozen"] < 1
    await at_desk.evaluate(_LEAVE_OUT, True)
    await until_quality(page, 2, 15)
    again = await page.evaluate(SEEN)
    assert again["frozen"] - after["frozen"] < 0.3


_RECEIVED = """async () => {
  let bytes = 0;
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'inbound-rtp') bytes += one.bytesReceived;
  });
  return bytes;
}"""


async def test_a_person_is_sent_no_more_than_they_want_to_spend(school: School, open_page: OpenPage) -> None:
    session, page = await taught(school, open_page)
    await enter(page, school, session, "Join the class")
    await until_quality(page, 2, 30)
    await page.get_by_role("button", name="Data use").click()
    await page.get_by_role("radio", name="Sound only").check()
    await page.get_by_text("Pictures are off to save data").wait_for()
    await asyncio.sleep(1)
    before, heard = await page.evaluate(SEEN), await page.evaluate(SOUND)
    await asyncio.sleep(3)
    after, still = await page.evaluate(SEEN), await page.evaluate(SOUND)
    assert after["decoded"] == before["decoded"]
    assert still["all"] > heard["all"] + 2 * 48_000
    await page.get_by_role("radio", name="Save data").check()
    await looked(page, SEEN, lambda seen: seen["quality"]["quality"] in (0, 1) and seen["height"] <= 360, 15)
    await page.get_by_role("radio", name="As good as").check()
    await until_quality(page, 2, 20)
    # The meter says what the counters of the connection do, each two seconds, to a tenth of a megabyte.
    counted = await page.evaluate(_RECEIVED)
    await asyncio.sleep(2.5)
    shown = 1e6 * float((await page.get_by_text("MB").first.inner_text()).split()[0])
    assert counted - 50_000 <= shown <= await page.evaluate(_RECEIVED) + 50_000


_HIDDEN = """(hidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


async def test_a_hidden_page_is_sent_no_picture_and_what_it_says_while_it_is_cut_off_is_told_later(
    school: School, open_page: OpenPage
) -> None:
    session, page = await taught(school, open_page)
    await enter(page, school, session, "Join the class")
    await until_quality(page, 2, 30)
    await page.evaluate(_HIDDEN, True)
    await _quality(page, None)
    await page.evaluate("() => window.liveserverClass.socket.socket.io.engine.close()")
    await page.evaluate(_HIDDEN, False)  # before the page is in the class again
    assert await page.evaluate("() => window.liveserverClass.snapshot().phase") == "reconnecting"
    await until_quality(page, 2, 15)


async def test_at_the_cap_pictures_end_even_after_the_page_was_loaded_again(
    school: School, open_page: OpenPage
) -> None:
    session, page = await taught(school, open_page)
    used = json.dumps({"session": session, "bytes": 49_000_000})
    await page.evaluate("(used) => localStorage.setItem('liveserver.data.used', used)", used)
    choice = json.dumps({"plan": "best", "cap": 50})
    await page.evaluate("(choice) => localStorage.setItem('liveserver.data', choice)", choice)
    await enter(page, school, session, "Join the class")
    await until_quality(page, 2, 30)
    await _quality(page, None)
    await expect(page.get_by_text("Your data cap is reached")).to_be_visible()
    await page.reload()
    await page.get_by_role("button", name="Join the class").click()
    await expect(page.get_by_text("Your data cap is reached")).to_be_visible(timeout=15_000)
    await _quality(page, None)


async def _quality(page: Page, wanted: int | None) -> None:
    def is_told(seen: Any) -> bool:
        return seen["quality"] is not None and seen["quality"]["quality"] == wanted

    await looked(page, SEEN, is_told, 20)


# The name of the way that what is sent goes, which is another after a restart.
_WAY_UP = """() => {
  const { sdp } = window.liveserverClass.media.publisher.pc.localDescription;
  return sdp.match(/ice-ufrag:(\\S+)/)[1];
}"""
_ARRIVED = "() => window.liveserverClass.media.subscriber.arrived()"
_LOSE_THE_WAY_UP = """() => {
  const { pc } = window.liveserverClass.media.publisher;
  Object.defineProperty(pc, 'connectionState', { value: 'failed', configurable: true });
  window.liveserverClass.socket.socket.io.engine.close();
  pc.addEventListener('iceconnectionstatechange', () => delete pc.connectionState, { once: true });
}"""


async def test_media_goes_on_from_another_network(school: School, open_page: OpenPage) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course, seats=1)
    at_desk = await open_page(teacher.email)
    await enter(at_desk, school, session, "Enter the class")
    page = await open_page(student.email)
    async with relayed(page, school.product) as relay:
        await enter(page, school, session, "Join the class")
        await until_quality(page, 2, 30)
        relay.move()
        before = await page.evaluate(SEEN)
        # The browser checks its path every few seconds; the first check from the new port moves it.
        await looked(page, SEEN, lambda seen: seen["decoded"] > before["decoded"] + 20, 10)
        status = (await school.call("GET", f"/api/live-sessions/{session}/status", student)).body
        assert status["mine"]["state"] == "seated"


async def test_who_teaches_is_seen_from_another_network(school: School, open_page: OpenPage) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    at_desk, page = await open_page(teacher.email), await open_page(student.email)
    async with relayed(at_desk, school.product) as relay:
        await enter(at_desk, school, session, "Enter the class")
        await enter(page, school, session, "Join the class")
        await until_quality(page, 2, 30)

        async def is_seen_again() -> None:
            before = await page.evaluate(SEEN)
            await looked(page, SEEN, lambda seen: seen["decoded"] > before["decoded"] + 20, 10)

        relay.move()
        await is_seen_again()

        # The way is lost while the page is not in the class: once it is, another is looked for, though what
        # it sees comes all the time.
        await give_the_floor(at_desk, student)
        await page.get_by_role("button", name="Camera on").click()
        await looked(at_desk, _ARRIVED, lambda count: count > 100, 15)
        way = await at_desk.evaluate(_WAY_UP)
        await at_desk.evaluate(_LOSE_THE_WAY_UP)
        await looked(at_desk, _WAY_UP, lambda now: now != way, 10)
        await is_seen_again()


async def test_a_class_comes_over_the_operators_turn_server(browser: Browser, tmp_path: Path) -> None:
    """Every way but the relay's is forbidden to the browser, as on a network that lets nothing else out."""
    host = advertised("", "0.0.0.0")[0]
    with turn(tmp_path, host, "north") as url:
        settings = {"LIVE_MEDIA__TURN_URLS": json.dumps([url]), "LIVE_MEDIA__TURN_SECRET": "north"}
        with Product(tmp_path / "state", settings=settings) as product:
            async with aiohttp.ClientSession() as client:
                school = await School.open(product, client)
                teacher, student = await school.register("instructor"), await school.register()
                course = await school.course(teacher)
                await school.enroll([student], course)
                session = await school.session(teacher, course, seats=1)
                pages = []
                for who, button in ((teacher, "Enter the class"), (student, "Join the class")):
                    page = await signed_in(browser, product, who.email, permissions=())
                    await page.add_init_script(_RELAY_ONLY)
                    await enter(page, school, session, button)
                    pages.append(page)
                seen = await until_quality(pages[1], 2, 30)
                assert seen["decoded"] > 0
                assert await pages[1].evaluate(_WAYS) == ["relay"]
                await pages[1].goto(product.url() + "/network-test")
                await pages[1].get_by_role("button", name="Start the test").click()
                verdict = pages[1].locator("[data-verdict]")
                await expect(verdict).to_be_visible(timeout=40_000)
                assert await verdict.get_attribute("data-verdict") in {"teach", "camera"}
                for page in pages:
                    await page.context.close()
                await school.close()
