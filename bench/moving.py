"""From Wi-Fi to mobile: a phone's browser changes network in a running class.

The phone is a real Chromium in a network namespace with two cards. One goes down and the other up, as when
somebody leaves the house: address, port and way are others, and the page's socket is dead. Told is how long
no picture is shown, and whether the seat is the same. The student has not allowed a camera; with `--camera`
they have, and the browser may tell the page of the machine's networks; with `--teacher` the phone is the
teacher's, and a student at a desk is without a picture.

    python -m bench.moving [--times 6] [--camera | --teacher]          needs root; Linux only
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Page, async_playwright

from bench.links import until_height
from bench.namespaces import Namespace, NoNamespaces, Phone, phone_and_server
from bench.report import keep, show
from tests.browser import chromium
from tests.browser.conftest import sign_in
from tests.builders import Person, School
from tests.product import Product

_TARGET = 2.0  # seconds
_SECONDS = 10.0  # that are looked at after each move
# When each picture is shown, and the longest time from one to the next, or to now; in seconds.
_WATCH = """() => {
  const video = document.querySelector('figure video');
  window.shownAt = [performance.now()];
  const shown = (now) => { window.shownAt.push(now); video.requestVideoFrameCallback(shown); };
  video.requestVideoFrameCallback(shown);
}"""
_LONGEST_PAUSE = """() => {
  const at = [...window.shownAt, performance.now()];
  return Math.max(...at.slice(1).map((one, n) => one - at[n])) / 1000;
}"""
# Without loading the page anew: what keeps somebody signed in then is a cookie for https.
_GO = "(path) => { history.pushState({}, '', path); dispatchEvent(new PopStateEvent('popstate')); }"


@asynccontextmanager
async def _page(
    folder: Path, product: Product, who: Person, *, host: Namespace | None = None, allowed: bool = True
) -> AsyncIterator[Page]:
    """Sign somebody in with a browser of their own, on another host if need be, to which the product's origin
    is as good as one by https.
    """
    origin, found = product.url(), chromium.find() or chromium.install()
    profile = folder / who.id
    if host is not None:
        inside = folder / "phone"
        inside.write_text(f'#!/bin/sh\nexec {" ".join(host.run(found))} "$@"\n')
        inside.chmod(0o755)
        found = str(inside)
    if allowed:
        chromium.allow_camera(profile, origin)
    flags = [one for one in chromium.FLAGS if allowed or "media-stream" not in one]
    trusted = f"--unsafely-treat-insecure-origin-as-secure={origin}"
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch_persistent_context(
            profile, executable_path=found, args=[*flags, trusted], ignore_default_args=["--headless"]
        )
        page = running.pages[0]
        await sign_in(page, origin, who.email)
        if allowed:
            await chromium.require_camera(page)
        yield page
        await running.close()


async def measure(phone: Phone, times: int, *, allowed: bool, teaches: bool) -> dict[str, Any]:
    """Move so many times, to and fro, with a browser that may use a camera, or not, and whose owner teaches,
    or not; in the server's namespace.
    """
    settings = {"LIVE_MEDIA__PUBLIC_ADDRESS": phone.server_address}
    took: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        product = Product(folder / "state", settings=settings, host=phone.server_address)
        async with aiohttp.ClientSession() as client:
            with product:
                school = await School.open(product, client)
                teacher, student = await school.register("instructor"), await school.register()
                course = await school.course(teacher)
                await school.enroll([student], course)
                session = await school.session(teacher, course, seats=1)
                stays, moves = (student, teacher) if teaches else (teacher, student)
                async with (
                    _page(folder, product, stays) as at_desk,
                    _page(folder, product, moves, host=phone.host, allowed=allowed) as on_phone,
                ):
                    desk, page = (on_phone, at_desk) if teaches else (at_desk, on_phone)
                    for one, button in ((desk, "Enter the class"), (page, "Join the class")):
                        await one.evaluate(_GO, f"/classes/{session}")
                        await one.get_by_role("button", name=button).click()
                    await until_height(page, 720, 30)
                    for n in range(times):
                        await asyncio.sleep(8)
                        await page.evaluate(_WATCH)
                        phone.move(to_mobile=n % 2 == 0)
                        await asyncio.sleep(_SECONDS)
                        took.append(await page.evaluate(_LONGEST_PAUSE))
                        print(
                            f"    {'to mobile' if n % 2 == 0 else 'to Wi-Fi'}: {took[-1]:.2f} s", flush=True
                        )
                    status = await school.call("GET", f"/api/live-sessions/{session}/status", student)
                    kept = status.body["mine"]["state"] == "seated" and status.body["seats"]["taken"] == 1
                await school.close()
    return {
        "longest time without a picture, s: median": statistics.median(took),
        f"the slowest (target <= {_TARGET:.0f})": max(took),
        "same seat": int(kept),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=6)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--camera", action="store_true")
    which.add_argument("--teacher", action="store_true")
    parser.add_argument("--phone", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.phone is None:
        try:
            with phone_and_server() as (phone, server):
                inside = server.run(sys.executable, "-m", "bench.moving", *sys.argv[1:])
                return subprocess.run([*inside, "--phone", phone.host.name], check=False).returncode
        except NoNamespaces as error:
            print(f"no network namespaces here, nothing was measured: {error}")
            return 0
    allowed = asked.camera or asked.teacher
    figures = asyncio.run(
        measure(Phone.named(asked.phone), asked.times, allowed=allowed, teaches=asked.teacher)
    )
    show(figures)
    keep("moving" + ("-teacher" if asked.teacher else "-camera" if asked.camera else ""), figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
