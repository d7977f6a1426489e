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
from tests.browser.turn import turn
from tests.builders import School
from tests.product import Product

_WAYS = """async () => {
  const report = await window.liveserverClass.stats();
  const ways = [];
  report.forEach((one) => {
    if (one.type === 'candidate-pair' && one.nominated)
      ways.push(report.get(one.localCandidateId).candidateType);
  });
  return ways;
}"""
_RELAY_ONLY = """
const Real = RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(configuration) { super({ ...configuration, iceTransportPolicy: 'relay' }); }
};
"""
# A browser that sends no VP8, as some phones do.
_H264_ONLY = """
const add = RTCPeerConnection.prototype.addTransceiver;
RTCPeerConnection.prototype.addTransceiver = function (track, init) {
  const made = add.call(this, track, init);
  const all = RTCRtpSender.getCapabilities('video').codecs;
  if (track.kind === 'video')
    made.setCodecPreferences(all.filter((one) => /H264|rtx/.test(one.mimeType)));
  return made;
};
"""
# A browser that reads no H.264.
_NO_H264 = """
const accept = RTCPeerConnection.prototype.setLocalDescription;
RTCPeerConnection.prototype.setLocalDescription = async function (description) {
  if (!description && this.signalingState === 'have-remote-offer') description = await this.createAnswer();
  if (description?.type !== 'answer') return accept.call(this, description);
  const sdp = description.sdp.replace(/^a=(rtpmap|fmtp|rtcp-fb):(102|103) .*\\r\\n/gm, '')
    .replace(/^(m=video .*) 102 103/gm, '$1');
  return accept.call(this, { type: 'answer', sdp });
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
_CODEC = """async () => {
  const found = [];
  const report = (await window.liveserverClass.stats()) ?? new Map();
  report.forEach((one) => {
    if (one.type === 'inbound-rtp' && one.kind === 'video' && one.framesDecoded > 10)
      found.push([report.get(one.codecId).mimeType, one.frameWidth, one.frameHeight]);
  });
  return found;
}"""
_SEEN = """async () => {
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
_SENT = """async () => {
  const sent = {};
  (await window.liveserverClass.media.publisher.pc.getStats()).forEach((one) => {
    if (one.type === 'outbound-rtp' && one.rid) sent[one.rid] = one.active;
  });
  return sent;
}"""


async def _enter(page: Page, school: School, session: str, button: str) -> None:
    await page.goto(f"{school.product.url()}/classes/{session}")
    await page.get_by_role("button", name=button).click()


async def _begun(school: School, open_page: OpenPage) -> tuple[str, Page, Page]:
    """A class, the page of its teacher, who is seen, and that of a student who has not joined."""
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    at_desk = await open_page(teacher.email)
    await _enter(at_desk, school, session, "Enter the class")
    return session, at_desk, await open_page(student.email)


async def _taught(school: School, open_page: OpenPage, *, slides: bool = False) -> tuple[str, Page]:
    """A class with slides or without, and the page of a student who has not joined."""
    session, at_desk, page = await _begun(school, open_page)
    if slides:
        await expect(at_desk.get_by_role("button", name="End for all")).to_be_visible()
        await at_desk.evaluate(_SLIDES)
    return session, page


async def _until(page: Page, quality: int, seconds: float) -> Any:
    seen: Any = None
    for _ in range(int(seconds / 0.25)):
        seen = await page.evaluate(_SEEN)
        if (seen["quality"] or {}).get("quality") == quality and seen.get("height") == 180 << quality:
            return seen
        await asyncio.sleep(0.25)
    raise AssertionError(f"not quality {quality} in {seconds} s: {seen}")


async def test_a_slow_link_gets_a_picture_it_carries_and_the_others_keep_theirs(
    school: School, open_page: OpenPage
) -> None:
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(2)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    session = await school.session(teacher, course, seats=2)
    at_desk = await open_page(teacher.email)
    await _enter(at_desk, school, session, "Enter the class")
    slow, fast = [await open_page(one.email) for one in students]
    async with relayed(slow, school.product) as relay:
        for page in (slow, fast):
            await _enter(page, school, session, "Join the class")
        for page in (slow, fast):
            await _until(page, 2, 30)
        before, sent_before = await fast.evaluate(_SEEN), await at_desk.evaluate(ENCODED)
        began = asyncio.get_running_loop().time()

        relay.down.rate = 300_000
        await _until(slow, 0, 10)
        at_bottom, sent = await slow.evaluate(_SEEN), await at_desk.evaluate(ENCODED)
        await asyncio.sleep(6)
        steady, sent_since = await slow.evaluate(_SEEN), await at_desk.evaluate(ENCODED)
        assert steady["quality"]["quality"] == 0, "it stays where it is"
        assert steady["decoded"] - at_bottom["decoded"] > 0.8 * 6 * 20, "and the picture moves"
        assert steady["decoded"] - at_bottom["decoded"] > 0.9 * (sent_since["q"] - sent["q"])

        relay.down.rate = None
        await _until(slow, 2, 40)
        after, sent_after = await fast.evaluate(_SEEN), await at_desk.evaluate(ENCODED)
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
            await _until(page, 1, 15)
        for _ in range(80):
            sent = await at_desk.evaluate(_SENT)
            if not sent["f"]:
                break
            await asyncio.sleep(0.25)
        assert sent == {"q": True, "h": True, "f": False}
        await fast.set_viewport_size({"width": 1280, "height": 900})
        await _until(fast, 2, 20)

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
    session, page = await _taught(school, open_page)
    await page.add_init_script(_NO_REMB)
    async with relayed(page, school.product) as relay:
        await _enter(page, school, session, "Join the class")
        await _until(page, 2, 40)
        relay.down.rate, relay.down.queue = 300_000, 5.0  # nothing is lost, but much would be late
        await _until(page, 0, 15)
        before = await page.evaluate(_SEEN)
        await asyncio.sleep(10)
        after = await page.evaluate(_SEEN)
        assert after["decoded"] > before["decoded"] + 150, "of two hundred"
        relay.down.rate = None
        await _until(page, 2, 60)


_SOUND = """async () => {
  const sound = {};
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'inbound-rtp' && one.mid === '2')
      Object.assign(sound, { all: one.totalSamplesReceived, made_up: one.concealedSamples });
  });
  return sound;
}"""


async def test_a_link_that_carries_sound_only_carries_it_whole(school: School, open_page: OpenPage) -> None:
    session, page = await _taught(school, open_page)
    async with relayed(page, school.product) as relay:
        await _enter(page, school, session, "Join the class")
        await _until(page, 2, 30)
        relay.down.rate = 100_000
        await asyncio.sleep(6)
        before = await page.evaluate(_SOUND)
        await asyncio.sleep(20)
        after = await page.evaluate(_SOUND)
        made_up = (after["made_up"] - before["made_up"]) / (after["all"] - before["all"])
        assert made_up < 0.12, "a picture is tried once or twice, and costs a second of sound each time"
        assert "too weak" in await page.inner_text("main")
        relay.down.rate = None
        await _until(page, 2, 60)


# A screen that shows another page of text every ten seconds.
_SLIDES = """() => {
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
    seen: Any = None
    for _ in range(int(seconds / 0.25)):
        seen = await page.evaluate(_SCREEN)
        found = {one: seen.get(one) or {} for one in wanted}
        told = all(wanted[one] in {found[one].get("quality"), found[one].get("paused")} for one in wanted)
        if told and height in {None, seen.get("height")}:
            return seen
        await asyncio.sleep(0.25)
    raise AssertionError(f"not {wanted}: {seen}")


async def test_over_100_kbit_slides_come_late_beside_sound_that_is_whole(
    school: School, open_page: OpenPage
) -> None:
    session, page = await _taught(school, open_page, slides=True)
    async with relayed(page, school.product) as relay:
        await _enter(page, school, session, "Join the class")
        await _screen(page, 30, screen=1)
        relay.down.rate = 100_000
        await _screen(page, 20, screen=0, camera="bandwidth")
        await asyncio.sleep(6)
        before, heard = await page.evaluate(_SCREEN), await page.evaluate(_SOUND)
        await asyncio.sleep(30)
        after, now = await page.evaluate(_SCREEN), await page.evaluate(_SOUND)
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
    session, at_desk, page = await _begun(school, open_page)
    async with relayed(at_desk, school.product) as relay:
        await _enter(at_desk, school, session, "Enter the class")
        await expect(at_desk.get_by_role("button", name="End for all")).to_be_visible()
        await at_desk.evaluate(_SLIDES)
        await _enter(page, school, session, "Join the class")
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
    session, page = await _taught(school, open_page, slides=True)
    await page.evaluate("localStorage.setItem('liveserver.data', JSON.stringify({ plan: 'least', cap: 0 }))")
    await _enter(page, school, session, "Join the class")
    await _screen(page, 30, screen=0, camera="limit")
    before = await page.evaluate(_SCREEN)
    await asyncio.sleep(12)
    assert (await page.evaluate(_SCREEN))["decoded"] >= before.get("decoded", 0) + 10
    await _screen(page, 1, screen=0, camera="limit")


# How far the picture is ahead of the sound, in ms of the sender's clock; null until both clocks are known.
_LIPS = """async () => {
  const at = {};
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'inbound-rtp' && (one.mid === '1' || one.mid === '2'))
      at[one.kind] = one.estimatedPlayoutTimestamp;
  });
  return at.audio && at.video ? at.video - at.audio : null;
}"""


async def _lips(page: Page) -> float:
    """Return how far picture and sound are from each other, in milliseconds: the median of eleven looks."""
    offsets: list[float] = []
    for _ in range(60):
        offset = await page.evaluate(_LIPS)
        if offset is not None:
            offsets.append(abs(offset))
        if len(offsets) == 11:
            break
        await asyncio.sleep(0.5)
    print(f"picture and sound are {sorted(offsets)} ms apart")
    assert len(offsets) == 11
    return sorted(offsets)[5]


async def test_lips_move_with_the_words(school: School, open_page: OpenPage) -> None:
    session, page = await _taught(school, open_page)
    await _enter(page, school, session, "Join the class")
    await _until(page, 2, 30)
    assert await _lips(page) < 80


async def test_a_picture_stays_smooth_over_a_link_that_loses_packets(
    school: School, open_page: OpenPage
) -> None:
    session, page = await _taught(school, open_page)
    async with relayed(page, school.product) as relay:
        await _enter(page, school, session, "Join the class")
        await _until(page, 2, 30)
        for link in (relay.down, relay.up):
            link.loss, link.delay, link.jitter = 0.05, 0.05, 0.02
        await asyncio.sleep(8)
        before = await page.evaluate(_SEEN)
        await asyncio.sleep(15)
        after = await page.evaluate(_SEEN)
        assert after["frozen"] - before["frozen"] <= 0.02 * 15
        assert after["decoded"] - before["decoded"] > 0.9 * 20 * 15
        assert await _lips(page) < 160, "the sound waits with the picture"


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
    session, at_desk, page = await _begun(school, open_page)
    await _enter(page, school, session, "Join the class")
    await _until(page, 2, 30)
    await asyncio.sleep(3)
    before = await page.evaluate(_SEEN)
    await at_desk.evaluate(_LEAVE_OUT, False)
    await _until(page, 1, 5)
    await asyncio.sleep(1)
    after = await page.evaluate(_SEEN)
    assert after["frozen"] - before["frozen"] < 1
    await at_desk.evaluate(_LEAVE_OUT, True)
    await _until(page, 2, 15)
    again = await page.evaluate(_SEEN)
    assert again["frozen"] - after["frozen"] < 0.3


_RECEIVED = """async () => {
  let bytes = 0;
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'inbound-rtp') bytes += one.bytesReceived;
  });
  return bytes;
}"""


async def test_a_person_is_sent_no_more_than_they_want_to_spend(school: School, open_page: OpenPage) -> None:
    session, page = await _taught(school, open_page)
    await _enter(page, school, session, "Join the class")
    await _until(page, 2, 30)
    await page.get_by_role("button", name="Data use").click()
    await page.get_by_role("radio", name="Sound only").check()
    await page.get_by_text("Pictures are off to save data").wait_for()
    await asyncio.sleep(1)
    before, heard = await page.evaluate(_SEEN), await page.evaluate(_SOUND)
    await asyncio.sleep(3)
    after, still = await page.evaluate(_SEEN), await page.evaluate(_SOUND)
    assert after["decoded"] == before["decoded"]
    assert still["all"] > heard["all"] + 2 * 48_000
    await page.get_by_role("radio", name="Save data").check()
    for _ in range(60):
        saved = await page.evaluate(_SEEN)
        if saved["quality"]["quality"] in (0, 1) and saved["height"] <= 360:
            break
        await asyncio.sleep(0.25)
    assert saved["quality"]["quality"] in (0, 1)
    assert saved["height"] <= 360
    await page.get_by_role("radio", name="As good as").check()
    await _until(page, 2, 20)
    # The meter says what the counters of the connection do, each two seconds, to a tenth of a megabyte.
    counted = await page.evaluate(_RECEIVED)
    await asyncio.sleep(2.5)
    shown = 1e6 * float((await page.get_by_text("MB").first.inner_text()).split()[0])
    assert counted - 50_000 <= shown <= await page.evaluate(_RECEIVED) + 50_000


async def test_a_picture_in_h264_is_seen_by_who_can_read_it(school: School, open_page: OpenPage) -> None:
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(3)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    session = await school.session(teacher, course, seats=3)
    at_desk = await open_page(teacher.email)
    await at_desk.add_init_script(_H264_ONLY)
    await _enter(at_desk, school, session, "Enter the class")
    first, late, blind = [await open_page(one.email) for one in students]
    await blind.add_init_script(_NO_H264)
    await _enter(first, school, session, "Join the class")
    await _seen_as(first, ["video/H264", 1280, 720])
    await _enter(late, school, session, "Join the class")
    await _enter(blind, school, session, "Join the class")
    await _seen_as(late, ["video/H264", 1280, 720])
    await blind.get_by_text("cannot show this picture").wait_for(timeout=10_000)
    assert await blind.evaluate(_CODEC) == []
    # Another quality of it, and back.
    await late.set_viewport_size({"width": 640, "height": 500})
    await _seen_as(late, ["video/H264", 640, 360])
    assert await first.evaluate(_CODEC) == [["video/H264", 1280, 720]]
    # VP8 on the same place: one connection, one stream, another format.
    await at_desk.close()
    again = await open_page(teacher.email)
    await _enter(again, school, session, "Enter the class")
    await _seen_as(first, ["video/VP8", 1280, 720])
    await _seen_as(blind, ["video/VP8", 1280, 720])


async def _seen_as(page: Page, wanted: list[Any]) -> None:
    seen: Any = None
    for _ in range(120):
        seen = await page.evaluate(_CODEC)
        if seen == [wanted]:
            return
        await asyncio.sleep(0.25)
    raise AssertionError(f"{seen}, not {wanted}")


_HIDDEN = """(hidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


async def test_a_hidden_page_is_sent_no_picture_and_what_it_says_while_it_is_cut_off_is_told_later(
    school: School, open_page: OpenPage
) -> None:
    session, page = await _taught(school, open_page)
    await _enter(page, school, session, "Join the class")
    await _until(page, 2, 30)
    await page.evaluate(_HIDDEN, True)
    await _quality(page, None)
    await page.evaluate("() => window.liveserverClass.socket.socket.io.engine.close()")
    await page.evaluate(_HIDDEN, False)  # before the page is in the class again
    assert await page.evaluate("() => window.liveserverClass.snapshot().phase") == "reconnecting"
    await _until(page, 2, 15)


async def test_at_the_cap_pictures_end_even_after_the_page_was_loaded_again(
    school: School, open_page: OpenPage
) -> None:
    session, page = await _taught(school, open_page)
    used = json.dumps({"session": session, "bytes": 49_000_000})
    await page.evaluate("(used) => localStorage.setItem('liveserver.data.used', used)", used)
    choice = json.dumps({"plan": "best", "cap": 50})
    await page.evaluate("(choice) => localStorage.setItem('liveserver.data', choice)", choice)
    await _enter(page, school, session, "Join the class")
    await _until(page, 2, 30)
    await _quality(page, None)
    await expect(page.get_by_text("Your data cap is reached")).to_be_visible()
    await page.reload()
    await page.get_by_role("button", name="Join the class").click()
    await expect(page.get_by_text("Your data cap is reached")).to_be_visible(timeout=15_000)
    await _quality(page, None)


async def _quality(page: Page, wanted: int | None) -> None:
    seen: Any = None
    for _ in range(80):
        seen = await page.evaluate(_SEEN)
        if seen["quality"] is not None and seen["quality"]["quality"] == wanted:
            return
        await asyncio.sleep(0.25)
    raise AssertionError(f"not quality {wanted}: {seen}")


async def test_media_goes_on_from_another_network(school: School, open_page: OpenPage) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course, seats=1)
    at_desk = await open_page(teacher.email)
    await _enter(at_desk, school, session, "Enter the class")
    page = await open_page(student.email)
    async with relayed(page, school.product) as relay:
        await _enter(page, school, session, "Join the class")
        await _until(page, 2, 30)
        relay.move()
        before = await page.evaluate(_SEEN)
        # The browser checks its path every few seconds; the first check from the new port moves it.
        for _ in range(40):
            await asyncio.sleep(0.25)
            if (await page.evaluate(_SEEN))["decoded"] > before["decoded"] + 20:
                break
        else:
            raise AssertionError("no picture from the new address")
        status = (await school.call("GET", f"/api/live-sessions/{session}/status", student)).body
        assert status["mine"]["state"] == "seated"


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
                    page = await signed_in(browser, product, who.email)
                    await page.add_init_script(_RELAY_ONLY)
                    await _enter(page, school, session, button)
                    pages.append(page)
                seen = await _until(pages[1], 2, 30)
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
