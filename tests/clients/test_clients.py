"""Programs of others send to a class by WHIP and play it by WHEP: GStreamer, and libwebrtc by itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.builders import School
from tests.clients import installing
from tests.media.peers import ROOM, bench
from tests.programs import CAMERA, MICROPHONE, encoder, media_key, watched_class

PROGRAMS = [installing.gstreamer, installing.libwebrtc]


class _Program:
    """A running program and the figures it told last."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.figures: dict[str, Any] = {}
        self._process = process
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.figures = json.loads(line)

    async def until(self, **least: int) -> None:
        """Wait for figures to have grown by so much."""
        wanted = {name: self.figures.get(name, 0) + more for name, more in least.items()}
        for _ in range(200):
            if all(self.figures.get(name, 0) >= count for name, count in wanted.items()):
                return
            assert self._process.returncode is None, "the program ended"
            await asyncio.sleep(0.1)
        raise AssertionError(f"{self.figures}, not {wanted}")

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def _program(command: Sequence[str]) -> AsyncIterator[_Program]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    program = _Program(process)
    try:
        yield program
    finally:
        await program.end()


def _command(find: Any) -> list[str]:
    found: list[str] | None = find()
    if found is None:
        pytest.skip(f"{find.__name__} is not here and cannot be installed")
    return found


@pytest.mark.parametrize("find", PROGRAMS, ids=lambda find: find.__name__)
async def test_a_program_sends_for_a_teacher(school: School, find: Any) -> None:
    command = _command(find)
    async with watched_class(school) as (teacher, _, session, watcher):
        made = await media_key(school, teacher, session)
        async with _program([*command, "whip", f"{school.product.url()}/whip/{session}", made["key"]]):
            for _ in range(3):
                await watcher.more(CAMERA, MICROPHONE)


@pytest.mark.parametrize("find", PROGRAMS, ids=lambda find: find.__name__)
async def test_a_program_plays_a_class(school: School, find: Any) -> None:
    command = _command(find)
    async with watched_class(school) as (teacher, student, session, _):
        course = (await school.call("GET", f"/api/live-sessions/{session}", teacher)).body["courseId"]
        other = await school.register()
        await school.enroll([other], course)
        sending = (await media_key(school, teacher, session))["key"]
        playing = (await media_key(school, other, session))["key"]
        assert student.id != other.id
        async with (
            encoder(school, session, sending, codec="VP8"),
            _program([*command, "whep", f"{school.product.url()}/whep/{session}", playing]) as program,
        ):
            await program.until(frames=30, samples=48_000)
            await program.until(frames=30, samples=48_000)
            assert program.figures["width"] == 640, "aiortc's picture"
            assert program.figures["state"] == "connected"


async def test_a_player_that_sends_no_estimate_is_judged_by_when_its_packets_arrive(tmp_path: Path) -> None:
    command = _command(installing.gstreamer)
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("microphone", "camera"))
        await b.attach("player")

        async def play(request: web.Request) -> web.Response:
            answer = await b.client.play(ROOM, "player", await request.text(), picture="camera")
            assert "transport-cc" in answer["sdp"]
            return web.Response(status=201, text=answer["sdp"], content_type="application/sdp")

        app = web.Application()
        app.router.add_post("/whep", play)
        async with (
            TestServer(app) as server,
            _program([*command, "whep", str(server.make_url("/whep")), ""]) as it,
        ):
            await it.until(frames=60)
            subscribe = b.worker.orders._rooms[ROOM].participants["player"].subscribe
            assert subscribe is not None
            assert subscribe.bandwidth.remb > 0, "it says when its packets arrive"
            await it.until(frames=60)
            assert not subscribe.bandwidth.is_overloaded(time.monotonic())
