"""What is lost on the way is asked for again and sent again, on both sides."""

import asyncio
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import RTCDtlsTransport

from media.rtp import is_rtcp
from media.srtp import Protector
from tests.builders import until
from tests.media.peers import ROOM, Bench, bench

CAMERA = "1"
LOSS, SECONDS = 0.06, 8


def _lose(b: Bench) -> dict[str, int]:
    """Lose media at the worker's socket, both ways and always the same; return the counts."""
    chance, lost = random.Random(7), {"in": 0, "out": 0}
    mux = b.worker._mux
    take, send = mux.datagram, mux.sender._many.send

    def came(data: bytes, path: Any, address: Any) -> bytes | None:
        # Not RTCP: an aiortc viewer asks once for a packet, and a browser again and again.
        if 127 < data[0] < 192 and not is_rtcp(data) and chance.random() < LOSS:
            lost["in"] += 1
            return None
        return take(data, path, address)

    def leaving(names: Sequence[bytes], first: int = 0) -> tuple[int, int]:
        if chance.random() < LOSS:
            lost["out"] += 1
            return len(names), 0
        return send(names, first)

    mux.datagram = came  # type: ignore[method-assign]
    mux.sender._many.send = leaving  # type: ignore[method-assign]
    return lost


@pytest.fixture
def viewers_know_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aiortc finds the receiver of a retransmission by its payload type, which fails with several video
    sections; a browser goes by the SSRC group of the offer. Here aiortc does so too.
    """
    register = RTCDtlsTransport._register_rtp_receiver

    def with_rtx(transport: Any, receiver: Any, parameters: Any) -> None:
        register(transport, receiver, parameters)
        for encoding in parameters.encodings:
            if encoding.rtx is not None:
                transport._rtp_router.ssrc_table[encoding.rtx.ssrc] = receiver

    monkeypatch.setattr(RTCDtlsTransport, "_register_rtp_receiver", with_rtx)


@pytest.mark.usefixtures("viewers_know_rtx")
async def test_video_survives_loss_towards_the_server_and_from_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("camera",))
        await b.attach("student")
        await b.subscribe("student")
        await until(lambda: b.frames["student", CAMERA] > 10, 20)
        lost = _lose(b)
        seen = b.frames["student", CAMERA]
        await asyncio.sleep(SECONDS)
        seen = b.frames["student", CAMERA] - seen
        assert min(lost.values()) >= 5, lost
        stats = await b.client.stats()
        assert stats["asked_again"] >= lost["in"] / 2, "what the publisher's link lost was asked for"
        assert stats["sent_again"] >= 5, "what the viewer's link lost was sent again"
        assert seen >= 0.9 * SECONDS * 30, (seen, lost, stats)


async def test_a_player_that_takes_no_retransmissions_is_sent_no_number_twice(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("camera",))
        await b.attach("player")
        peer = b.peer()
        peer.addTransceiver("video", direction="recvonly")
        peer.on("track", lambda track: b.pumps.append(asyncio.ensure_future(_count(b, track))))
        offer = (await peer.createOffer()).sdp
        await peer.setLocalDescription(RTCSessionDescription(_without_rtx(offer), "offer"))
        answer = await b.client.play(
            ROOM, "player", _without_rtx(peer.localDescription.sdp), picture="camera"
        )
        assert "rtx" not in answer["sdp"]
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await until(lambda: b.frames["player", CAMERA] > 10, 20)
        singles: list[bytes] = []
        protect = Protector.rtp

        def noted(self: Protector, context: Any, packet: bytes) -> bytes:
            singles.append(packet[:12])
            return protect(self, context, packet)

        with patch.object(Protector, "rtp", noted):
            lost = _lose(b)
            await until(lambda: lost["out"] > 5, 20)
            seen = b.frames["player", CAMERA]
            await until(lambda: b.frames["player", CAMERA] > seen + 20, 20)
        assert (await b.client.stats())["sent_again"] == 0
        assert singles == []


async def _count(b: Bench, track: Any) -> None:
    while True:
        try:
            await track.recv()
        except MediaStreamError:
            return
        b.frames["player", CAMERA] += 1


def _without_rtx(sdp: str) -> str:
    types = re.findall(r"a=rtpmap:(\d+) rtx", sdp)
    for one in types:
        sdp = re.sub(rf"(m=video .*?) {one}\b", r"\1", sdp)
        sdp = re.sub(rf"a=(rtpmap|fmtp|rtcp-fb):{one} .*\r\n", "", sdp)
    return sdp
