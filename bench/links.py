"""How a class looks over bad links: a real browser behind a relay that loses and delays, the same each time.

    python -m bench.links [--seconds 60] [loss] [teacher] [uplink] [slow] [thin] [wifi] [join]

loss    5 % lost both ways, 50 ms late, up to 20 ms of jitter: share of frozen time and of concealed sound
teacher the same, of the teacher's link: what a student sees and hears
uplink  the teacher's link is cut to 600 kb/s: what a student sees, how long packets wait for that link
slow    one viewer of twenty is cut to 300 kb/s for a while: how soon it is steady, back, what the others lose
thin    a link that stays at 300 kb/s: how many of the pictures sent are seen; looking for more may cost few
wifi    300 kb/s, then a link that holds everything up for 120 ms twice a second: how soon the best is back
join    thirty times into a running class: from the answer of `join` to the first decoded frame
"""

import argparse
import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiortc.rtcdtlstransport import RTCCertificate
from playwright.async_api import Browser, Page, async_playwright

from bench.peers import Peer
from bench.relay import Relay
from bench.report import keep, kept, show
from tests.browser import chromium
from tests.browser.conftest import signed_in
from tests.browser.links import ENCODED, relayed
from tests.builders import ClassSocket, Person, School
from tests.product import Product

_EVERY, _HELD = 0.5, 0.12  # seconds
LOOKS = """async () => {
  const seen = { at: performance.now() };
  ((await window.liveserverClass?.stats()) ?? new Map()).forEach((one) => {
    if (one.type !== 'inbound-rtp' || !one.packetsReceived) return;
    if (one.mid === '1')
      Object.assign(seen, { height: one.frameHeight, decoded: one.framesDecoded, keys: one.keyFramesDecoded,
        frozen: one.totalFreezesDuration, again: one.retransmittedPacketsReceived ?? 0,
        asked: one.nackCount, pictures: one.pliCount });
    if (one.mid === '2')
      Object.assign(seen, { samples: one.totalSamplesReceived, concealed: one.concealedSamples,
        silent: one.silentConcealedSamples, soundLost: one.packetsLost });
  });
  return seen;
}"""
_FIRST_FRAME = """() => new Promise((done) => {
  const look = () => {
    const video = document.querySelector('figure video');
    if (!video || !video.requestVideoFrameCallback) return requestAnimationFrame(look);
    video.requestVideoFrameCallback(() => done(performance.now()));
  };
  look();
})"""


# Of the teacher's best quality: bytes that were sent, and what the encoder is to make of it, which what it
# makes stays below when not much moves.
_SENT = """async () => {
  const sent = {};
  (await window.liveserverClass.media.publisher.pc.getStats()).forEach((one) => {
    if (one.type === 'outbound-rtp' && one.rid === 'f')
      Object.assign(sent, { bytes: one.bytesSent, target: one.targetBitrate });
  });
  return sent;
}"""


class Meter:
    """A viewer without a browser, who counts what comes."""

    def __init__(self, signaling: ClassSocket) -> None:
        self.octets = 0
        self._signaling = signaling
        self._peer = Peer(RTCCertificate.generateCertificate())
        self._checking: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        offer = (await self._signaling.ask("media.subscribe", {"restart": False}))["ok"]["sdp"]
        section = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
        await self._signaling.ask("media.answer", {"sdp": self._peer.description(section)})
        await self._peer.connect(offer)
        self._peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        asyncio.get_running_loop().add_reader(self._peer.socket, self._count)
        self._checking = asyncio.create_task(self._check())

    def _count(self) -> None:
        self.octets += sum(map(len, self._peer.datagrams()))

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(4)
            self._peer.check_again()

    async def close(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        asyncio.get_running_loop().remove_reader(self._peer.socket)
        self._peer.socket.close()
        await self._signaling.close()


class Class:
    """A running class with a teacher's camera and microphone, and students to come."""

    def __init__(
        self, school: School, browser: Browser, session: str, desk: Page, students: list[Person]
    ) -> None:
        self.school, self.browser, self.session = school, browser, session
        self.desk, self.students = desk, students

    async def page(self, who: Person) -> Page:
        return await signed_in(self.browser, self.school.product, who.email)

    async def enter(self, page: Page, button: str = "Join the class") -> None:
        await page.goto(f"{self.school.product.url()}/classes/{self.session}")
        await page.get_by_role("button", name=button).click()


@asynccontextmanager
async def held_class(students: int) -> AsyncIterator[Class]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Product(Path(folder) / "state") as product,
    ):
        async with aiohttp.ClientSession() as client, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium.find(), args=chromium.FLAGS, ignore_default_args=["--headless"]
            )
            school = await School.open(product, client)
            teacher = await school.register("instructor")
            people = [await school.register() for _ in range(students)]
            course = await school.course(teacher)
            await school.enroll(people, course)
            session = await school.session(teacher, course, seats=students)
            desk = await signed_in(browser, product, teacher.email)
            held = Class(school, browser, session, desk, people)
            await held.enter(desk, "Enter the class")
            yield held
            await school.close()
            await browser.close()


async def until_height(page: Page, height: int, seconds: float) -> float:
    """Wait until the teacher's picture is so high; return after how many seconds."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if (await page.evaluate(LOOKS)).get("height") == height:
            return time.monotonic() - began
        await asyncio.sleep(0.1)
    raise AssertionError(f"never {height} pixels high")


def _spoil(relay: Relay) -> None:
    for link in (relay.down, relay.up):
        link.loss, link.delay, link.jitter = 0.05, 0.05, 0.02


async def loss(seconds: float) -> dict[str, Any]:
    async with held_class(1) as held:
        page = await held.page(held.students[0])
        async with relayed(page, held.school.product) as relay:
            await held.enter(page)
            await until_height(page, 720, 30)
            _spoil(relay)
            await asyncio.sleep(5)
            before = await page.evaluate(LOOKS)
            await asyncio.sleep(seconds)
            after = await page.evaluate(LOOKS)
    passed = (after["at"] - before["at"]) / 1000
    heard = after["samples"] - before["samples"]
    return {
        "frozen, % of the time (target <= 2)": 100 * (after["frozen"] - before["frozen"]) / passed,
        "sound concealed, % (target <= 3)": 100 * (after["concealed"] - before["concealed"]) / heard,
        "frames a second": (after["decoded"] - before["decoded"]) / passed,
        "height, pixels": after["height"],
        "packets sent again": after["again"] - before["again"],
    }


@asynccontextmanager
async def _taught_over_a_relay() -> AsyncIterator[tuple[Class, Page, Relay]]:
    """A class whose teacher is behind the relay, and a student's page that sees the best of it."""
    async with held_class(1) as held:
        page = await held.page(held.students[0])
        async with relayed(held.desk, held.school.product) as relay:
            await held.enter(held.desk, "Enter the class")
            await held.enter(page)
            await until_height(page, 720, 30)
            yield held, page, relay


async def teacher(seconds: float) -> dict[str, Any]:
    async with _taught_over_a_relay() as (held, page, relay):
        _spoil(relay)
        await asyncio.sleep(5)
        return await _looks(held, page, "q", seconds)


async def uplink(seconds: float) -> dict[str, Any]:
    async with _taught_over_a_relay() as (held, page, relay):
        relay.up.rate = 600_000
        await asyncio.sleep(20)
        dropped, waits = relay.dropped, list[float]()
        looks = asyncio.create_task(_looks(held, page, "q", seconds))
        while not looks.done():
            waits.append(1000 * relay.waits(relay.up))
            await asyncio.sleep(0.1)
    waits.sort()
    return {
        **looks.result(),
        "packets wait, ms: median": waits[len(waits) // 2],
        "and at the worst": waits[-1],
        "packets the link dropped": relay.dropped - dropped,
    }


async def slow(_seconds: float) -> dict[str, Any]:
    async with held_class(20) as held:
        pages = [await held.page(one) for one in held.students[:2]]
        sockets = [await held.school.enter(one, held.session) for one in held.students[2:]]
        meters = [Meter(one) for one in sockets]
        async with relayed(pages[0], held.school.product) as relay:
            for page in pages:
                await held.enter(page)
            for page in pages:
                await until_height(page, 720, 30)
            for meter in meters:
                await meter.watch()
            await asyncio.sleep(15)
            usual = await _rates(held.desk, meters)
            before = [await page.evaluate(LOOKS) for page in pages]
            relay.down.rate = 300_000
            steady = await until_height(pages[0], 180, 15)
            rates, stays = await asyncio.gather(_rates(held.desk, meters), _stays(pages[0], 180))
            relay.down.rate = None
            back = await until_height(pages[0], 720, 40)
            after = [await page.evaluate(LOOKS) for page in pages]
        for meter in meters:
            await meter.close()
    shares = sorted(now / then for now, then in zip(rates[1], usual[1], strict=True))
    passed = (after[1]["at"] - before[1]["at"]) / 1000
    return {
        "steady after, s (target <= 3)": steady,
        "and stays so, % of the next 10 s": 100 * stays,
        "back after, s (target <= 15)": back,
        "frozen meanwhile, s": after[0]["frozen"] - before[0]["frozen"],
        "a browser beside: frozen, s": after[1]["frozen"] - before[1]["frozen"],
        "its frames a second": (after[1]["decoded"] - before[1]["decoded"]) / passed,
        "its height, pixels (target >= 720)": after[1]["height"],
        "18 others: least bit rate kept, % (target >= 95)": 100 * shares[0],
        "the median of them": 100 * shares[len(shares) // 2],
        "the teacher's best, % of before (target >= 95)": 100 * rates[0] / usual[0],
    }


async def _rates(desk: Page, meters: list[Meter]) -> tuple[float, list[float]]:
    """Return, after ten seconds, what the teacher's best is to be, in bits per second, and what each got for
    a byte the teacher sent of it.
    """
    before, got = await desk.evaluate(_SENT), [one.octets for one in meters]
    await asyncio.sleep(10)
    now: dict[str, float] = await desk.evaluate(_SENT)
    sent = now["bytes"] - before["bytes"]
    return now["target"], [(one.octets - was) / sent for one, was in zip(meters, got, strict=True)]


async def _stays(page: Page, height: int) -> float:
    """Return in which part of ten seconds the teacher's picture is so high."""
    looks: list[bool] = []
    for _ in range(50):
        looks.append((await page.evaluate(LOOKS)).get("height") == height)
        await asyncio.sleep(0.2)
    return sum(looks) / len(looks)


async def _looks(held: Class, page: Page, rid: str, seconds: float) -> dict[str, Any]:
    """Return how one quality looks and sounds on a page for so long."""
    before, sent_before = await page.evaluate(LOOKS), await held.desk.evaluate(ENCODED)
    await asyncio.sleep(seconds)
    after, sent = await page.evaluate(LOOKS), await held.desk.evaluate(ENCODED)
    heard = after["samples"] - before["samples"]
    return {
        "seen, % of the pictures sent": 100
        * (after["decoded"] - before["decoded"])
        / (sent[rid] - sent_before[rid]),
        "frozen, % of the time": 100 * (after["frozen"] - before["frozen"]) / seconds,
        "sound concealed, %": 100 * (after["concealed"] - before["concealed"]) / heard,
        "height, pixels": after["height"],
    }


async def thin(seconds: float) -> dict[str, Any]:
    async with held_class(1) as held:
        page = await held.page(held.students[0])
        async with relayed(page, held.school.product) as relay:
            await held.enter(page)
            await until_height(page, 720, 30)
            relay.down.rate = 300_000
            await until_height(page, 180, 15)
            dropped = relay.dropped
            looks = await _looks(held, page, "q", seconds)
    return {**looks, "packets the link dropped": relay.dropped - dropped}


async def wifi(seconds: float) -> dict[str, Any]:
    async with held_class(1) as held:
        page = await held.page(held.students[0])
        async with relayed(page, held.school.product) as relay:
            await held.enter(page)
            await until_height(page, 720, 30)
            relay.down.rate = 300_000
            await until_height(page, 180, 15)
            await asyncio.sleep(5)
            for link in (relay.down, relay.up):
                link.rate, link.every, link.held = None, _EVERY, _HELD
            back = await until_height(page, 720, 60)
            looks = await _looks(held, page, "f", seconds)
    return {"back from 300 kb/s after, s (target <= 15)": back, **looks}


async def join(_seconds: float) -> dict[str, Any]:
    times = []
    async with held_class(30) as held:
        watcher = await held.page(held.students[0])
        for n, student in enumerate(held.students):
            page = watcher if n == 0 else await held.page(student)
            await page.add_init_script(
                "const real = window.fetch; window.fetch = async (...given) => {"
                " const answer = await real(...given);"
                " const url = String(given[0]?.url ?? given[0]);"
                " if (url.endsWith('/join')) window.joinedAt = performance.now();"
                " return answer; };"
            )
            await held.enter(page)
            first: float = await page.evaluate(_FIRST_FRAME)
            times.append(first - await page.evaluate("() => window.joinedAt"))
            await page.context.close()
    times.sort()
    return {
        "p50, ms (target <= 400)": times[len(times) // 2],
        "p95, ms (target <= 900)": times[len(times) * 95 // 100],
        "slowest, ms": times[-1],
    }


BENCHES = {one.__name__: one for one in (loss, teacher, uplink, slow, thin, wifi, join)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[*BENCHES, []], default=[])
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    rows = kept("links") or {}
    for name in asked.which or BENCHES:
        print(name)
        rows[name] = asyncio.run(BENCHES[name](asked.seconds))
        show(rows[name])
        keep("links", rows)


if __name__ == "__main__":
    main()
