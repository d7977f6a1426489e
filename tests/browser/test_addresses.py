"""A page that may use a camera is told which networks the machine is in; its connections are bound to none of
them, and go on over another at once (bench.moving shows it).
"""

from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

from tests.browser import chromium
from tests.browser.conftest import sign_in
from tests.builders import School

# The addresses a connection takes.
_ADDRESSES = """async (name) => {
  const pc = window.liveserverClass.media[name].pc;
  while (pc.iceGatheringState !== 'complete')
    await new Promise((go) => pc.addEventListener('icegatheringstatechange', go, { once: true }));
  return [...pc.localDescription.sdp.matchAll(/a=candidate:(?:\\S+ ){4}(\\S+)/g)].map((one) => one[1]);
}"""


async def _seen(page: Page, what: str) -> None:
    await page.wait_for_function(
        "(what) => [...document.querySelectorAll(what)].some((one) => one.currentTime > 0.5)", arg=what
    )


async def test_connections_are_bound_to_no_network_though_a_camera_is_allowed(
    school: School, tmp_path: Path
) -> None:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course, seats=1)
    origin = school.product.url()
    pages = []
    async with async_playwright() as playwright:
        for one in (teacher, student):
            chromium.allow_camera(tmp_path / one.id, origin)
            running = await playwright.chromium.launch_persistent_context(
                tmp_path / one.id,
                executable_path=chromium.find(),
                args=chromium.FLAGS,
                ignore_default_args=["--headless"],
            )
            pages.append(running.pages[0])
            await sign_in(pages[-1], origin, one.email)
            await chromium.require_camera(pages[-1])
            await pages[-1].goto(f"{origin}/classes/{session}")
        desk, page = pages
        await desk.get_by_role("button", name="Enter the class").click()
        await expect(desk.get_by_role("button", name="End for all")).to_be_visible()
        await page.get_by_role("button", name="Join the class").click()
        await _seen(page, "figure video")
        for shown, name in (desk, "publisher"), (desk, "subscriber"), (page, "subscriber"):
            addresses = await shown.evaluate(_ADDRESSES, name)
            assert addresses
            assert all(one.endswith(".local") for one in addresses), addresses
        for shown in pages:
            await shown.context.close()
