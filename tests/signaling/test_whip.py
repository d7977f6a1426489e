"""An encoder sends for a teacher with one request (WHIP), beside their page or without one."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from tests.builders import Answer, Person, School
from tests.programs import CAMERA, MICROPHONE, SCREEN, ask, encoder, media_key, new_peer, watched_class


async def test_an_encoder_enters_for_a_teacher_who_has_no_page(school: School) -> None:
    async with watched_class(school) as (teacher, _, session, watcher):
        made = await media_key(school, teacher, session)
        assert made["whip"].endswith(f"/whip/{session}")
        async with encoder(school, session, made["key"]) as (answer, _):
            assert answer.status == 201, answer
            assert answer.headers["Content-Type"].startswith("application/sdp")
            await watcher.more(CAMERA, MICROPHONE)
            assert any(one["userId"] == teacher.id for one in watcher.socket.heard("attendee"))
            # Their page comes: it takes the seat over, and the encoder goes on beside it.
            page = await school.enter(teacher, session, process=1)
            assert page.heard("welcome")
            await watcher.more(CAMERA, MICROPHONE)
            # And stops when it says so, the page staying.
            where = answer.headers["Location"]
            for _ in range(2):
                stopped = await school.call(
                    "DELETE", where, process=1, headers={"Authorization": f"Bearer {made['key']}"}
                )
                assert stopped.status == 200, stopped
            await asyncio.sleep(0.5)
            before = dict(watcher.frames)
            await asyncio.sleep(1)
            assert dict(watcher.frames) == before
            assert (await page.ask("chat.say", {"text": "still here"}))["ok"]


async def test_an_encoder_comes_beside_the_page_and_a_second_takes_its_place(school: School) -> None:
    async with watched_class(school) as (teacher, _, session, watcher):
        page = await school.enter(teacher, session)
        key = (await media_key(school, teacher, session))["key"]
        async with encoder(school, session, key, codec="VP8", query="?source=screen") as (first, _):
            assert first.status == 201, first
            await watcher.more(SCREEN, MICROPHONE)
            async with encoder(school, session, key, codec="VP8", process=1) as (second, _):
                assert second.headers["Location"] != first.headers["Location"]
                await watcher.more(CAMERA, MICROPHONE)
                before = watcher.frames[SCREEN]
                await asyncio.sleep(1)
                assert watcher.frames[SCREEN] == before
        assert not page.heard("seat.superseded")
        assert (await page.ask("chat.say", {"text": "still here"}))["ok"]


async def test_who_brings_no_right_gets_no_answer(school: School) -> None:
    async with watched_class(school) as (teacher, student, session, _):
        key = (await media_key(school, teacher, session))["key"]
        watching = await media_key(school, student, session)
        assert "whip" not in watching
        async with encoder(school, session, watching["key"]) as (answer, _):
            assert (answer.status, answer.code) == (403, "forbidden")
        for wrong in ("", key[:-3] + "abc", teacher.token):
            async with encoder(school, session, wrong) as (answer, _):
                assert answer.status == 401, answer
        other = await school.register("instructor")
        elsewhere = await school.session(other, await school.course(other))
        async with encoder(school, elsewhere, key) as (answer, _):
            assert (answer.status, answer.code) == (401, "token_invalid")
        stranger = await school.call("POST", f"/api/live-sessions/{session}/media-key", other)
        assert stranger.status == 404
        async with encoder(school, session, key, query="?source=roof") as (answer, _):
            assert (answer.status, answer.code) == (422, "invalid")

        async def post(body: bytes, kind: str = "application/sdp") -> Answer:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
            return await school.call("POST", f"/whip/{session}", headers=headers, data=body)

        assert (await post(b"v=0", "application/json")).status == 415
        assert (await post(b"v=0\r\n")).code == "bad_sdp"
        assert (await post(b"x" * 40_000)).status == 413
        assert (await school.call("GET", f"/whip/{session}")).status == 405

        await school.call("POST", "/api/auth/logout-all", teacher)
        async with encoder(school, session, key) as (answer, _):
            assert answer.status == 401


async def _state(school: School, who: Person, session: str) -> str:
    mine = (await school.call("GET", f"/api/live-sessions/{session}/status", who)).body["mine"]
    return str(mine["state"])


async def test_an_encoder_that_starts_again_keeps_the_seat(school: School) -> None:
    async with watched_class(school) as (teacher, _, session, watcher):
        key = (await media_key(school, teacher, session))["key"]
        async with encoder(school, session, key, codec="VP8") as (first, _):
            await watcher.more(CAMERA)
            async with encoder(school, session, key, codec="VP8", process=1) as (second, _):
                assert (first.status, second.status) == (201, 201)
                await watcher.more(CAMERA)
                await asyncio.sleep(1)
                assert await _state(school, teacher, session) == "seated"
                where = second.headers["Location"]
                await school.call("DELETE", where, headers={"Authorization": f"Bearer {key}"})
        for _ in range(50):
            if await _state(school, teacher, session) == "grace":
                break
            await asyncio.sleep(0.1)
        assert await _state(school, teacher, session) == "grace", "nothing of them is there"
        # Within the grace it takes its seat again, by the same steps as before.
        async with encoder(school, session, key, codec="VP8") as (third, _):
            assert third.status == 201
            await watcher.more(CAMERA)
            assert await _state(school, teacher, session) == "seated"


async def test_an_offer_of_nothing_leaves_nobody_in_the_class(school: School) -> None:
    async with watched_class(school) as (teacher, _, session, _):
        key = (await media_key(school, teacher, session))["key"]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
        refused = await school.call("POST", f"/whip/{session}", headers=headers, data=b"v=0\r\n")
        assert refused.code == "bad_sdp"
        assert await _state(school, teacher, session) in {"none", "grace"}
        statuses = [
            (await school.call("POST", f"/whip/{session}", headers=headers, data=b"v=0\r\n")).status
            for _ in range(10)
        ]
        assert statuses[-1] == 429


async def test_a_logout_ends_the_encoder_of_that_login_beside_a_page_of_another(school: School) -> None:
    async with watched_class(school) as (teacher, _, session, watcher):
        page = await school.enter(teacher, session)
        other = await school.login(teacher.email)
        key = (await media_key(school, other, session))["key"]
        async with encoder(school, session, key, codec="VP8") as (_, peer):
            await watcher.more(CAMERA)
            logout = await school.call(
                "POST", "/api/auth/logout", other, json={"refreshToken": other.refresh_token}
            )
            assert logout.status == 204
            for _ in range(50):
                if peer.connectionState == "closed":
                    break
                await asyncio.sleep(0.1)
            assert peer.connectionState == "closed"
        assert (await page.ask("chat.say", {"text": "still here"}))["ok"]


@asynccontextmanager
async def _player(
    school: School, session: str, key: str, *, process: int = 0
) -> AsyncIterator[tuple[Answer, RTCPeerConnection, Counter[str]]]:
    """A plain player: one picture, one sound, its own payload types."""
    peer, frames = new_peer(), Counter[str]()
    pumps: list[asyncio.Task[None]] = []

    async def pump(track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                frames[track.kind] += 1

    peer.on("track", lambda track: pumps.append(asyncio.ensure_future(pump(track))))
    peer.addTransceiver("audio", direction="recvonly")
    peer.addTransceiver("video", direction="recvonly")
    try:
        answer = await ask(school, peer, f"/whep/{session}", key, process)
        yield answer, peer, frames
    finally:
        await peer.close()
        for one in pumps:
            one.cancel()


async def _until_played(frames: Counter[str]) -> None:
    wanted = {kind: frames[kind] + 10 for kind in ("audio", "video")}
    for _ in range(200):
        if all(frames[kind] >= count for kind, count in wanted.items()):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{dict(frames)}, not {wanted}")


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_player_takes_a_seat_and_gives_it_back(school: School, codec: str) -> None:
    async with watched_class(school) as (teacher, student, session, _):
        other, late = await school.register(), await school.register()
        course = (await school.call("GET", f"/api/live-sessions/{session}", teacher)).body["courseId"]
        await school.enroll([other, late], course)
        sending = (await media_key(school, teacher, session))["key"]
        made = await media_key(school, other, session)
        assert made["whep"].endswith(f"/whep/{session}")
        async with encoder(school, session, sending, codec=codec):
            async with _player(school, session, made["key"]) as (answer, peer, frames):
                assert answer.status == 201, answer
                await _until_played(frames)
                assert await _state(school, other, session) == "seated"
                # Full is full, for players too; and who is played to may not send.
                late_key = (await media_key(school, late, session))["key"]
                async with _player(school, session, late_key) as (full, *_):
                    assert (full.status, full.code) == (409, "session_full")
                async with encoder(school, session, made["key"]) as (refused, _):
                    assert refused.status == 403
                # A second player of theirs takes the first one's place.
                async with _player(school, session, made["key"], process=1) as (second, _, played):
                    assert second.status == 201
                    await _until_played(played)
                    await asyncio.sleep(0.5)
                    assert peer.connectionState == "closed"
                    assert await _state(school, other, session) == "seated"
                    headers = {"Authorization": f"Bearer {made['key']}"}
                    stopped = await school.call("DELETE", second.headers["Location"], headers=headers)
                    assert stopped.status == 200
            for _ in range(50):
                if await _state(school, other, session) == "grace":
                    break
                await asyncio.sleep(0.1)
            assert await _state(school, other, session) == "grace"
            assert await _state(school, student, session) == "seated"


async def test_a_player_that_can_take_nothing_leaves_no_seat(school: School) -> None:
    async with watched_class(school) as (_, student, session, _):
        key = (await media_key(school, student, session))["key"]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
        refused = await school.call("POST", f"/whep/{session}", headers=headers, data=b"v=0\r\n")
        assert refused.code == "bad_sdp"
        assert await _state(school, student, session) != "seated"
        assert (await school.call("GET", f"/whep/{session}")).status == 405


async def test_the_end_of_the_class_ends_the_encoder(school: School) -> None:
    async with watched_class(school) as (teacher, _, session, watcher):
        key = (await media_key(school, teacher, session))["key"]
        async with encoder(school, session, key, codec="VP8") as (answer, peer):
            assert answer.status == 201
            await watcher.more(CAMERA)
            await school.call("POST", f"/api/live-sessions/{session}/end", teacher)
            for _ in range(50):
                if peer.connectionState == "closed":
                    break
                await asyncio.sleep(0.1)
            assert peer.connectionState == "closed"
        async with encoder(school, session, key) as (answer, _):
            assert (answer.status, answer.code) == (409, "session_ended")
        over = await school.call("POST", f"/api/live-sessions/{session}/media-key", teacher)
        assert (over.status, over.code) == (409, "session_ended")


async def test_a_logout_ends_an_encoder_that_runs(school: School) -> None:
    async with watched_class(school) as (teacher, _, session, watcher):
        key = (await media_key(school, teacher, session))["key"]
        async with encoder(school, session, key, codec="VP8") as (_, peer):
            await watcher.more(CAMERA)
            assert (await school.call("POST", "/api/auth/logout-all", teacher)).status == 204
            for _ in range(50):
                if peer.connectionState == "closed":
                    break
                await asyncio.sleep(0.1)
            assert peer.connectionState == "closed"
