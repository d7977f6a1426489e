"""A whole class in real browsers: seen and heard, full, left, dropped, ended, and told the truth of."""

import asyncio
import time
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.builders import Person, School

WATCHED_SECONDS = 20
_FIGURES = """async () => {
  const report = await window.liveserverClass.stats();
  const found = {};
  report.forEach((one) => {
    if (one.type === 'inbound-rtp' && one.packetsReceived > 0)
      found[one.kind] = {
        decoded: one.framesDecoded, freezes: one.freezeCount, width: one.frameWidth,
        energy: one.totalAudioEnergy, samples: one.totalSamplesReceived,
        concealed: one.concealedSamples, packets: one.packetsReceived,
      };
  });
  return found;
}"""
# A picture that moves is decoded into other pixels a moment later.
_PIXELS = """async () => {
  const video = document.querySelector('figure video');
  const draw = () => {
    const canvas = document.createElement('canvas');
    canvas.width = 160; canvas.height = 90;
    const pen = canvas.getContext('2d');
    pen.drawImage(video, 0, 0, 160, 90);
    return [...pen.getImageData(0, 0, 160, 90).data];
  };
  const before = draw();
  await new Promise((go) => setTimeout(go, 400));
  return draw().filter((value, n) => Math.abs(value - before[n]) > 40).length;
}"""


async def _class_of_two(school: School) -> tuple[Person, list[Person], str]:
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(3)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    return teacher, students, await school.session(teacher, course, seats=2, start=False)


async def _figures(page: Page) -> Any:
    return await page.evaluate(_FIGURES)


async def _playing(page: Page) -> None:
    await page.wait_for_function(
        "() => [...document.querySelectorAll('figure video')].some((v) => v.currentTime > 0.5)"
    )


async def _stopped(page: Page) -> None:
    await page.wait_for_function("() => !document.querySelector('figure video')", timeout=5_000)


async def _join(page: Page, school: School, session: str, process: int) -> None:
    await page.goto(f"{school.product.url(process)}/classes/{session}")
    await page.get_by_role("button", name="Join the class").click()


async def test_a_class_from_start_to_end(school: School, open_page: OpenPage) -> None:
    teacher, students, session = await _class_of_two(school)
    at_desk = await open_page(teacher.email)
    pages = [await open_page(one.email, process=n % 2) for n, one in enumerate(students)]

    # Who comes early waits, and is let in when the teacher starts.
    await _join(pages[0], school, session, 0)
    await expect(pages[0].get_by_text("The class has not started")).to_be_visible()
    await at_desk.goto(f"{school.product.url()}/classes/{session}")
    await at_desk.get_by_role("button", name="Start the class").click()
    await expect(at_desk.get_by_role("button", name="End for all")).to_be_visible()
    await expect(pages[0].get_by_role("button", name="Raise hand")).to_be_visible(timeout=10_000)
    await _join(pages[1], school, session, 1)
    await expect(pages[1].get_by_role("button", name="Raise hand")).to_be_visible()
    began = asyncio.get_running_loop().time()

    # The third is told that it is full.
    await _join(pages[2], school, session, 0)
    await expect(pages[2].get_by_text("The class is full")).to_be_visible()
    refused = await school.join(students[2], session)
    assert (refused.status, refused.code) == (409, "session_full")

    # Twenty seconds of moving picture and sound.
    for page in pages[:2]:
        await _playing(page)
    before = [await _figures(page) for page in pages[:2]]
    sent_before = await _sent(at_desk)
    await asyncio.sleep(WATCHED_SECONDS)
    after = [await _figures(page) for page in pages[:2]]
    sent = await _sent(at_desk) - sent_before
    assert sent > 10 * WATCHED_SECONDS, "the fake camera gives twenty pictures a second"
    for old, new in zip(before, after, strict=True):
        assert new["video"]["decoded"] - old["video"]["decoded"] >= 0.9 * sent
        assert new["video"]["freezes"] - old["video"]["freezes"] <= 1
        assert new["audio"]["energy"] > old["audio"]["energy"]
        heard = new["audio"]["samples"] - old["audio"]["samples"]
        assert heard >= 0.9 * 48_000 * WATCHED_SECONDS
        assert new["audio"]["concealed"] - old["audio"]["concealed"] < 0.05 * heard
    assert await pages[0].evaluate(_PIXELS) > 100, "the picture moves"

    # Leaving frees the seat, and the third comes in by itself.
    await pages[0].get_by_role("button", name="Leave").click()
    await pages[0].get_by_role("dialog").get_by_role("button", name="Leave").click()
    left = asyncio.get_running_loop().time()
    await expect(pages[0].get_by_text("You left the class")).to_be_visible()
    await expect(pages[2].get_by_role("button", name="Raise hand")).to_be_visible(timeout=10_000)
    await _playing(pages[2])

    # The end: all media stops, nobody gets in again.
    await at_desk.get_by_role("button", name="End for all").click()
    await at_desk.get_by_role("button", name="End the class").click()
    ended = asyncio.get_running_loop().time()
    for page in pages[1:]:
        await _stopped(page)
        await expect(page.get_by_text("The class is over")).to_be_visible()
    answer = await school.join(students[1], session)
    assert (answer.status, answer.code) == (409, "session_ended")

    # The report says what was done, to the second.
    report = await school.call("GET", f"/api/live-sessions/{session}/attendance", teacher)
    rows = {row["studentId"]: row for row in report.body["students"]}
    assert report.body["final"]
    first, second, third = (rows[one.id] for one in students)
    assert abs(second["totalSeconds"] - (ended - began)) <= 1.5
    assert first["intervals"][0]["leaveReason"] == "left"
    assert abs((first["totalSeconds"] - second["totalSeconds"]) - (left - ended)) <= 8
    assert third["totalSeconds"] < ended - left + 1
    assert {row["connections"] for row in rows.values()} == {1}
    await at_desk.get_by_role("link", name="Attendance").click()
    await expect(at_desk.get_by_role("row", name=students[1].email)).to_be_visible()


async def _sent(page: Page) -> int:
    """Frames the teacher's browser has sent of the quality it sent most of."""
    frames: int = await page.evaluate(
        """async () => {
          const pc = window.liveserverClass.media.publisher.pc;
          let frames = 0;
          (await pc.getStats()).forEach((one) => {
            if (one.type === 'outbound-rtp' && one.kind === 'video')
              frames = Math.max(frames, one.framesSent);
          });
          return frames;
        }"""
    )
    return frames


async def test_the_floor_is_given_and_taken_back(school: School, open_page: OpenPage) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    at_desk = await open_page(teacher.email)
    await at_desk.goto(f"{school.product.url()}/classes/{session}")
    await at_desk.get_by_role("button", name="Enter the class").click()
    student = await open_page(students[0].email, process=1)
    await _join(student, school, session, 1)
    await student.get_by_role("button", name="Raise hand").click()
    await expect(at_desk.get_by_label("Hand raised")).to_be_visible()
    await at_desk.get_by_role("button", name=f"Options for {students[0].email}").click()
    await at_desk.get_by_role("menuitem", name="Give the floor").click()
    await student.get_by_role("button", name="Camera on").click()
    await expect(at_desk.locator("figcaption", has_text=students[0].email)).to_be_visible(timeout=10_000)
    await student.get_by_role("button", name="Camera off").click()
    await expect(at_desk.locator("figcaption", has_text=students[0].email)).to_be_hidden()
    await student.get_by_role("button", name="Camera on").click()
    await expect(at_desk.locator("figcaption", has_text=students[0].email)).to_be_visible(timeout=10_000)
    await at_desk.get_by_role("button", name=f"Options for {students[0].email}").click()
    await at_desk.get_by_role("menuitem", name="Take the floor back").click()
    await expect(at_desk.locator("figcaption", has_text=students[0].email)).to_be_hidden()
    await expect(student.get_by_role("button", name="Camera on")).to_be_hidden()


async def test_a_page_finds_its_way_back_after_its_socket_was_lost(
    school: School, open_page: OpenPage
) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    at_desk = await open_page(teacher.email)
    await at_desk.goto(f"{school.product.url()}/classes/{session}")
    await at_desk.get_by_role("button", name="Enter the class").click()
    student = await open_page(students[0].email)
    await _join(student, school, session, 0)
    await _playing(student)
    held = (await school.call("GET", f"/api/live-sessions/{session}/status", students[0])).body
    assert held["mine"]["state"] == "seated"
    connection = "() => window.liveserverClass.media.subscriber.id"
    before = await student.evaluate(connection)
    await student.evaluate("() => window.liveserverClass.socket.socket.io.engine.close()")
    await expect(student.get_by_text("Connection lost")).to_be_visible()
    await expect(student.get_by_text("Connection lost")).to_be_hidden(timeout=10_000)
    await _seen_and_heard(student)
    assert await student.evaluate(connection) == before, "the media never stopped"
    again = (await school.call("GET", f"/api/live-sessions/{session}/status", students[0])).body
    assert again["mine"]["state"] == "seated"
    assert again["seats"]["taken"] == 1


async def test_the_teachers_media_comes_back_after_reloads_and_takeovers(
    school: School, open_page: OpenPage
) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    student = await open_page(students[0].email)
    await _join(student, school, session, 0)
    desk = await open_page(teacher.email)
    for _ in range(3):
        await _enter_as_staff(desk, school, session)
        await _seen_and_heard(student)
    tablet = await open_page(teacher.email, process=1)
    await _enter_as_staff(tablet, school, session)
    await _seen_and_heard(student)
    await expect(desk.get_by_text("You joined from another device")).to_be_visible()
    await desk.get_by_role("button", name="Continue here instead").click()
    await expect(tablet.get_by_text("You joined from another device")).to_be_visible()
    await _seen_and_heard(student)


async def _enter_as_staff(page: Page, school: School, session: str) -> None:
    await page.goto(f"{school.product.url()}/classes/{session}")
    await page.get_by_role("button", name="Enter the class").click()
    await expect(page.get_by_role("button", name="End for all")).to_be_visible()


async def _seen_and_heard(student: Page) -> None:
    """Pictures are decoded and sound arrives, from now on."""
    await asyncio.sleep(1)
    before = await _figures(student)
    for _ in range(40):
        await asyncio.sleep(0.25)
        after = await _figures(student)
        video = after.get("video", {}).get("decoded", 0) - before.get("video", {}).get("decoded", 0)
        audio = after.get("audio", {}).get("packets", 0) - before.get("audio", {}).get("packets", 0)
        if video > 20 and audio > 20:
            return
    raise AssertionError(f"the student gets no media: {before} {after}")


async def test_a_class_goes_on_when_its_media_worker_dies(school: School, open_page: OpenPage) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    at_desk = await open_page(teacher.email)
    await _enter_as_staff(at_desk, school, session)
    student = await open_page(students[0].email)
    await _join(student, school, session, 0)
    await _seen_and_heard(student)
    await student.evaluate("() => { window.before = window.liveserverClass.media.subscriber.pc; }")
    worker = school.product.media_worker()
    assert worker is not None
    worker.kill()
    began = time.monotonic()
    seen = heard = 0
    while seen < 20 or heard < 20:
        assert time.monotonic() - began < 10, f"{seen} pictures, {heard} packets of sound after ten seconds"
        await asyncio.sleep(0.1)
        if await student.evaluate("() => window.liveserverClass.media.subscriber.pc !== window.before"):
            figures = await _figures(student)
            seen = figures.get("video", {}).get("decoded", 0)
            heard = figures.get("audio", {}).get("packets", 0)
    print(f"a class goes on {time.monotonic() - began:.1f} s after its worker died")
    again = (await school.call("GET", f"/api/live-sessions/{session}/status", students[0])).body
    assert (again["mine"]["state"], again["seats"]["taken"]) == ("seated", 1)


# Of both ends of a connection: a restart takes new ones.
UFRAGS = """(name) => {
  const { pc } = window.liveserverClass.media[name];
  return [pc.localDescription, pc.remoteDescription].map(({ sdp }) => sdp.match(/ice-ufrag:(\\S+)/)[1]);
}"""


async def test_media_finds_a_new_path_by_ice_restart(school: School, open_page: OpenPage) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    at_desk = await open_page(teacher.email)
    await at_desk.goto(f"{school.product.url()}/classes/{session}")
    await at_desk.get_by_role("button", name="Enter the class").click()
    student = await open_page(students[0].email)
    await _join(student, school, session, 0)
    await _playing(student)
    for _ in range(2):
        ways = [await student.evaluate(UFRAGS, "subscriber"), await at_desk.evaluate(UFRAGS, "publisher")]
        await student.evaluate(
            "() => window.liveserverClass.media.subscriber.restart(window.liveserverClass.socket)"
        )
        await at_desk.evaluate(
            "() => window.liveserverClass.media.publisher.negotiate(window.liveserverClass.socket, true)"
        )
        before = (await _figures(student))["video"]
        await asyncio.sleep(3)
        after = (await _figures(student))["video"]
        assert after["decoded"] - before["decoded"] > 30, "the same connection goes on"
        found = [await student.evaluate(UFRAGS, "subscriber"), await at_desk.evaluate(UFRAGS, "publisher")]
        assert all(not set(was) & set(now) for was, now in zip(ways, found, strict=True)), (ways, found)


PROTOCOLS = """async () => {
  const found = [];
  (await window.liveserverClass.stats()).forEach((one) => {
    if (one.type === 'remote-candidate') found.push(one.protocol);
  });
  return found;
}"""
WITHOUT_UDP = """
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const sdp = description.sdp.replace(/a=candidate:\\d+ 1 udp[^\\r]*\\r\\n/g, '');
    return set.call(this, { type: description.type, sdp });
  };
"""


async def test_media_comes_over_tcp_where_udp_does_not(school: School, open_page: OpenPage) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    at_desk = await open_page(teacher.email, permissions=())
    await at_desk.add_init_script(WITHOUT_UDP)
    await at_desk.goto(f"{school.product.url()}/classes/{session}")
    await at_desk.get_by_role("button", name="Enter the class").click()
    student = await open_page(students[0].email, permissions=())
    await student.add_init_script(WITHOUT_UDP)
    await _join(student, school, session, 0)
    await _playing(student)
    before = (await _figures(student))["video"]
    await asyncio.sleep(4)
    after = (await _figures(student))["video"]
    assert after["decoded"] - before["decoded"] > 50
    protocols = await student.evaluate(PROTOCOLS)
    assert set(protocols) == {"tcp"}


async def test_a_second_device_takes_over_and_the_first_is_told(school: School, open_page: OpenPage) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    first = await open_page(students[0].email, process=0)
    await _join(first, school, session, 0)
    await expect(first.get_by_role("button", name="Raise hand")).to_be_visible()
    second = await open_page(students[0].email, process=1)
    await _join(second, school, session, 1)
    await expect(second.get_by_role("button", name="Raise hand")).to_be_visible()
    await expect(first.get_by_text("You joined from another device")).to_be_visible()
    status = (await school.call("GET", f"/api/live-sessions/{session}/status", teacher)).body
    assert status["seats"]["taken"] == 1


async def test_programs_are_told_where_to_send_and_where_to_watch(
    school: School, open_page: OpenPage
) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    ways = (
        (teacher, "Send from OBS or another encoder", "Your screen", "whip"),
        (student, "Watch in another player", "The screen", "whep"),
    )
    for who, button, screen, way in ways:
        page = await open_page(who.email)
        await page.goto(f"{school.product.url()}/classes/{session}")
        await page.get_by_role("button", name=button).click()
        address = page.get_by_label("Server", exact=True)
        await expect(address).to_have_value(f"{school.product.url()}/{way}/{session}")
        await page.get_by_text(screen, exact=True).click()
        await expect(address).to_have_value(f"{school.product.url()}/{way}/{session}?source=screen")
        key = await page.get_by_label("Bearer token", exact=True).input_value()
        heads = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
        async with school.client.post(await address.input_value(), data="nonsense", headers=heads) as answer:
            assert (await answer.json())["code"] == "bad_sdp", "the key is good"

    desk = await open_page(teacher.email)
    await desk.goto(f"{school.product.url()}/classes/{session}")
    await desk.get_by_role("button", name="Enter the class").click()
    await desk.get_by_role("button", name="Encoder program").click()
    await desk.get_by_role("button", name="Send from OBS or another encoder").click()
    address = desk.get_by_label("Server", exact=True)
    await expect(address).to_have_value(f"{school.product.url()}/whip/{session}")


async def test_every_page_stands_at_phone_width_and_in_arabic(school: School, open_page: OpenPage) -> None:
    teacher, students, session = await _class_of_two(school)
    await school.call("POST", f"/api/live-sessions/{session}/start", teacher)
    page = await open_page(students[0].email, language="ar", width=360)
    course = (await school.call("GET", f"/api/live-sessions/{session}", teacher)).body["courseId"]
    for path in ("/", f"/courses/{course}", "/classes", f"/classes/{session}", "/nowhere"):
        await page.goto(school.product.url() + path)
        await page.wait_for_load_state("networkidle")
        assert await page.evaluate("document.documentElement.dir") == "rtl"
        wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
    await page.goto(f"{school.product.url()}/classes/{session}")
    await page.get_by_role("button", name="انضم إلى الحصة").click()
    await expect(page.get_by_role("button", name="ارفع يدك")).to_be_visible()
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    desk = await open_page(teacher.email, language="ar", width=360)
    await desk.goto(f"{school.product.url()}/classes/{session}")
    await desk.get_by_role("button", name="ادخل الحصة").click()
    await expect(desk.get_by_role("button", name="إنهاء للجميع")).to_be_visible()
    wide = await desk.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    await desk.wait_for_timeout(1500)
    await desk.screenshot(path=".cache/teacher-phone-ar.png")
