"""A program that sends for somebody, beside the page of the same person."""

from pathlib import Path

import pytest
from aiortc import RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from media.control import WorkerRefused
from tests.media.peers import ROOM, Bench, bench


async def _offer(made: Bench, *, picture: bool = True) -> tuple[RTCPeerConnection, str]:
    peer = made.peer()
    peer.addTransceiver(AudioStreamTrack(), direction="sendonly")
    if picture:
        peer.addTransceiver(VideoStreamTrack(), direction="sendonly")
    await peer.setLocalDescription(await peer.createOffer())
    return peer, peer.localDescription.sdp


async def _encode(made: Bench, name: str, sdp: str, picture: str = "camera") -> int:
    answer = await made.client.encode(ROOM, name, sdp, picture=picture, login="l")
    number: int = answer["id"]
    return number


async def _holder(made: Bench, mid: str) -> object:
    return next(slot["participant"] for slot in await made.client.slots(ROOM) if slot["mid"] == mid)


async def test_what_an_encoder_took_over_a_page_does_not_take_back_by_renegotiating(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.attach("teacher", staff=True)
        page = made.peer()
        for track in (VideoStreamTrack(), AudioStreamTrack()):
            page.addTransceiver(track, direction="sendonly")
        await page.setLocalDescription(await page.createOffer())
        sources = {"0": "camera", "1": "microphone"}
        first = await made.client.publish(ROOM, "teacher", page.localDescription.sdp, sources)
        assert first["sdp"].count("a=recvonly") == 2
        _, offer = await _offer(made)
        await _encode(made, "teacher", offer)
        replaced = [facts["source"] for name, facts in made.said if name == "replaced"]
        assert sorted(replaced) == ["camera", "microphone"], "the page is told"
        again = await made.client.publish(ROOM, "teacher", page.localDescription.sdp, sources)
        assert again["refused"] == {}
        assert again["sdp"].count("a=inactive") == 2
        assert again["sdp"].count("a=recvonly") == 0
        # Stopped and begun anew, it is the page's again.
        stopped = page.localDescription.sdp.replace("a=sendonly", "a=inactive")
        await made.client.publish(ROOM, "teacher", stopped, sources)
        begun = await made.client.publish(ROOM, "teacher", page.localDescription.sdp, sources)
        assert begun["sdp"].count("a=recvonly") == 2


async def test_a_stopped_encoder_keeps_no_place_from_others(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        for name in ("one", "two"):
            await made.attach(name, staff=True)
        _, offer = await _offer(made)
        number = await _encode(made, "one", offer, "screen")
        assert await _holder(made, "0") == "one"
        _, theirs = await _offer(made)
        with pytest.raises(WorkerRefused, match="floor_full"):
            await _encode(made, "two", theirs, "screen")
        await made.client.stop_encoding(ROOM, "one", number)
        await _encode(made, "two", theirs, "screen")
        assert await _holder(made, "0") == "two"


async def test_an_offer_that_is_refused_ends_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.attach("teacher", staff=True)
        _, offer = await _offer(made)
        number = await _encode(made, "teacher", offer)
        for wrong in ("v=0\r\n", offer.replace("VP8", "AV1").replace("H264", "AV1").replace("opus", "xopus")):
            with pytest.raises(WorkerRefused, match="bad_sdp"):
                await _encode(made, "teacher", wrong)
        (running,) = await made.client.encoders()
        assert running == {"room": ROOM, "participant": "teacher", "id": number, "login": "l"}
        assert await _holder(made, "1") == "teacher"


async def test_an_encoder_is_not_paused_by_the_page_it_outlived(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.attach("teacher", staff=True, device="a")
        _, offer = await _offer(made)
        await _encode(made, "teacher", offer)
        await made.client.mute(ROOM, "teacher", "microphone", muted=True)
        await made.attach("teacher", staff=True, device="b")
        paused = [slot["paused"] for slot in await made.client.slots(ROOM) if slot["participant"]]
        assert paused == [False, False]
