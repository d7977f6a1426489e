"""A class with more viewers than one media process carries, in real browsers."""

import asyncio
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, Page

from liveserver.config import Running
from media.control import WorkerClient
from tests.browser.conftest import signed_in
from tests.browser.taught import SEEN, enter, looked, until_quality
from tests.builders import School
from tests.product import UNHURRIED, Product

_SETTINGS = {**UNHURRIED, "LIVE_MEDIA__WORKERS": "2", "LIVE_MEDIA__VIEWERS_PER_WORKER": "1"}


async def _stats(product: Product) -> list[dict[str, int]]:
    running = Running.model_validate_json((product.state / "run.json").read_text())
    found = []
    for n in range(running.workers):
        client = WorkerClient(str(running.control_socket(n)), lambda _name, _facts: None, lambda: None)
        task = asyncio.create_task(client.run())
        await client.ready(10)
        found.append(await client.stats())
        task.cancel()
    return found


async def _moves(page: Page) -> None:
    before = (await page.evaluate(SEEN)).get("decoded", 0)
    await looked(page, SEEN, lambda seen: seen.get("decoded", 0) > before + 20, 30)


async def test_students_of_a_full_worker_see_the_class_by_another_and_outlive_it(
    tmp_path: Path, browser: Browser
) -> None:
    with Product(tmp_path / "state", settings=_SETTINGS) as product:
        async with aiohttp.ClientSession() as client:
            school = await School.open(product, client)
            teacher, students = await school.register("instructor"), [await school.register() for _ in "ab"]
            course = await school.course(teacher)
            await school.enroll(students, course)
            session = await school.session(teacher, course, seats=2)
            pages = [await signed_in(browser, product, one.email) for one in (teacher, *students)]
            await enter(pages[0], school, session, "Enter the class")
            for page in pages[1:]:
                await enter(page, school, session, "Join the class")
            for page in pages[1:]:
                await until_quality(page, 2, 40)
                await _moves(page)
            (elsewhere,) = [n for n, one in enumerate(await _stats(product)) if one["mirrors"]]
            assert (await _stats(product))[elsewhere]["participants"] == 2

            # A page that shows it small is sent less there as well.
            await pages[1].set_viewport_size({"width": 640, "height": 500})
            await until_quality(pages[1], 1, 20)

            worker = product.media_worker(elsewhere)
            assert worker is not None
            worker.kill()
            await asyncio.sleep(1)
            for page in pages[1:]:
                await _moves(page)
            for page in pages:
                await page.context.close()
            await school.close()
