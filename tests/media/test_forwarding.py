"""A worker and aiortc peers: who is forwarded to whom, and who is not."""

import asyncio
import re
import socket
from pathlib import Path
from unittest import mock

import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from media.control import WorkerRefused
from tests.builders import until
from tests.media.peers import ROOM, Bench, bench, came

CAMERA, MICROPHONE, STUDENT_MICROPHONE, STUDENT_CAMERA = "1", "2", "3", "6"


async def test_everybody_entitled_sees_and_hears_the_teacher(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        teacher, _ = await b.publish("teacher", ("microphone", "camera"))
        assert "usedtx=1" in teacher.remoteDescription.sdp, "silence need not be sent"
        for name in ("one", "two"):
            await b.attach(name)
            await b.subscribe(name)
        for name in ("one", "two"):
            await until(lambda name=name: b.frames[name, CAMERA] > 30, 20)
            await until(lambda name=name: b.frames[name, MICROPHONE] > 30, 20)


async def test_a_student_without_the_floor_is_heard_by_nobody(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.subscribe("teacher")
        await b.attach("student")
        _, refused = await b.publish("student", ("microphone",))
        assert refused == {"0": "not_on_stage"}
        await asyncio.sleep(1.5)
        assert not b.frames
        await b.client.grant(ROOM, "student", ["microphone"])
        await b.publish("student", ("microphone",))
        await until(lambda: b.frames["teacher", STUDENT_MICROPHONE] > 20, 20)
        await b.client.revoke(ROOM, "student", ["microphone"])
        await asyncio.sleep(0.4)
        heard = b.frames["teacher", STUDENT_MICROPHONE]
        unprotector = b.worker.orders._wiring.unprotector
        with mock.patch.object(unprotector, "rtp", wraps=unprotector.rtp) as decrypt:
            await asyncio.sleep(1)
        assert b.frames["teacher", STUDENT_MICROPHONE] <= heard + 2
        assert not decrypt.called, "what belongs to nobody is dropped before"


async def test_an_ssrc_is_one_streams_and_nobodys_once_that_is_taken_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("student")
        await b.client.grant(ROOM, "student", ["camera", "microphone"])
        peer = b.peer()
        for track in (VideoStreamTrack(), AudioStreamTrack()):
            peer.addTransceiver(track, direction="sendonly")
        await peer.setLocalDescription(await peer.createOffer())
        camera, microphone = (str(one.sender._ssrc) for one in peer.getTransceivers())
        sdp = peer.localDescription.sdp.replace(
            f"a=ssrc:{microphone}",
            f"a=ssrc-group:FID {microphone} {camera}\r\na=ssrc:{camera} cname:x\r\na=ssrc:{microphone}",
            1,
        )
        await b.client.publish(ROOM, "student", sdp, {"0": "camera", "1": "microphone"})
        (transport,) = b.worker.orders._rooms[ROOM].participants["student"].publishers()
        key = int(camera).to_bytes(4, "big")
        assert (key in transport._by_ssrc, key in transport._rtx) == (True, False)
        await b.client.revoke(ROOM, "student", ["camera"])
        assert (key in transport._by_ssrc, key in transport._rtx) == (False, False)
        assert transport._by_ssrc, "the microphone's"
        assert key not in b.worker.orders._wiring.mux._by_ssrc


async def test_a_put_out_participant_gets_nothing_any_more(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("camera",))
        await b.attach("student")
        await b.subscribe("student")
        await until(lambda: b.frames["student", CAMERA] > 10, 20)
        await b.client.detach(ROOM, "student", fence=b.rank)
        await asyncio.sleep(0.3)
        seen = b.frames["student", CAMERA]
        await asyncio.sleep(0.7)
        assert b.frames["student", CAMERA] <= seen + 2


async def test_an_order_about_an_older_entrance_changes_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("student")
        await b.attach("student", device="new")
        await b.client.detach(ROOM, "student", fence=1)
        assert (await b.client.stats())["participants"] == 1
        with pytest.raises(WorkerRefused, match="superseded"):
            await b.client.attach(ROOM, "student", staff=False, device="old", fence=1)


async def test_one_speaker_after_the_other_is_one_stream_to_the_viewer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("viewer", staff=True)
        await b.subscribe("viewer")
        for name in ("one", "two"):
            await b.attach(name)
            await b.client.grant(ROOM, name, ["camera"])
            await b.publish(name, ("camera",))
            before = b.frames["viewer", STUDENT_CAMERA]
            await until(lambda before=before: b.frames["viewer", STUDENT_CAMERA] > before + 20, 20)
            await b.client.revoke(ROOM, name, ["camera"])


async def test_a_muted_source_is_not_forwarded_and_comes_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("camera",))
        await b.attach("student")
        await b.subscribe("student")
        await until(lambda: b.frames["student", CAMERA] > 10, 20)
        await b.client.mute(ROOM, "teacher", "camera", muted=True)
        await asyncio.sleep(0.4)
        seen = b.frames["student", CAMERA]
        await asyncio.sleep(0.8)
        assert b.frames["student", CAMERA] <= seen + 2
        await b.client.mute(ROOM, "teacher", "camera", muted=False)
        await until(lambda: b.frames["student", CAMERA] > seen + 20, 20)


async def test_a_mute_ends_with_what_was_muted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("viewer")
        await b.subscribe("viewer")
        await b.attach("student")
        await b.client.mute(ROOM, "student", "camera", muted=True)  # nothing is sent yet
        for _ in range(2):
            await b.client.grant(ROOM, "student", ["camera"])
            await b.publish("student", ("camera",))
            seen = b.frames["viewer", STUDENT_CAMERA]
            await until(lambda seen=seen: b.frames["viewer", STUDENT_CAMERA] > seen + 20, 20)
            await b.client.mute(ROOM, "student", "camera", muted=True)
            await b.client.revoke(ROOM, "student", ["camera"])


async def test_a_wrong_fingerprint_gets_no_media(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("camera",))
        await b.attach("student")
        peer = b.peer()
        offer = await b.client.subscribe(ROOM, "student", restart=False)
        await peer.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        sdp = peer.localDescription.sdp
        start = sdp.index("a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
        forged = sdp[:start] + "00:11" + sdp[start + 5 :]
        lines = [line for line in forged.splitlines() if "sha-384" not in line and "sha-512" not in line]
        await b.client.answer(ROOM, "student", "\r\n".join(lines))
        await until(lambda: _state(b, "student") == "closed", 20)


def _state(b: Bench, participant: str) -> str | None:
    states = [f["state"] for name, f in b.said if name == "transport" and f["participant"] == participant]
    return states[-1] if states else None


async def test_junk_on_the_ports_harms_nobody(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        teacher, _ = await b.publish("teacher", ("camera", "microphone"))
        await b.attach("student")
        peer = await b.subscribe("student")
        await until(lambda: b.frames["student", CAMERA] > 10, 20)
        lines = peer.remoteDescription.sdp.splitlines()
        udp = next(line for line in lines if " udp " in line).split()
        tcp = next(line for line in lines if " tcp " in line).split()
        address, port, tcp_port = udp[4], int(udp[5]), int(tcp[5])
        stun = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x06\x00\x04abcd"
        ufrag = re.search(r"a=ice-ufrag:(\w+)", peer.remoteDescription.sdp)
        assert ufrag is not None
        name = f"{ufrag[1]}:xx".encode()
        named = b"\x00\x06" + len(name).to_bytes(2, "big") + name + bytes(-len(name) % 4)
        known = b"\x00\x01" + len(named).to_bytes(2, "big") + stun[4:20] + named
        junk = [b"", b"\x80", b"\x80" + bytes(20), b"\x16" + bytes(300), bytes(12), stun, b"\xff" * 1500]
        junk += [b"\x80" + bytes(2000), b"\x90\x60" + b"\xff" * 200, stun + b"\x00\x08\xff\xff", known]
        forged = [
            b"\x80\x60" + bytes(60),
            b"\x81\xc9\x00\x07" + bytes(40),
            known,
            b"\x16\xfe\xfd" + bytes(90),
        ]
        before = await came(peer, "audio", "video")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as spray:
            for _ in range(300):
                for one in junk:
                    spray.sendto(one, (address, port))
                for one in forged:  # over paths that are known
                    await teacher.getSenders()[0].transport.transport._send(one)
                    await peer.getReceivers()[0].transport.transport._send(one)
                await asyncio.sleep(0.02)
        during = await came(peer, "audio", "video") - before
        assert during["came"] > 300
        assert during["lost"] / during.total() < 0.005
        for one in (b"", b"\x00", b"\x00\x00", b"\x00\x10" + bytes(16), b"\xff\xff" + bytes(50)):
            _, writer = await asyncio.open_connection(address, tcp_port)
            writer.write(one)
            writer.close()
        seen = b.frames["student", CAMERA]
        await until(lambda: b.frames["student", CAMERA] > seen + 20, 20)
        dropped = (await b.client.stats())["dropped"]
        assert dropped["size"] >= 400
        assert dropped["unknown_ufrag"] >= 400
        assert dropped.get("check_rate", 0) + dropped.get("check_refused", 0) >= 200
        assert dropped["srtp_from_stranger"] >= 200
        assert dropped["dtls_from_stranger"] >= 100


@pytest.mark.parametrize(
    "sdp",
    [
        "x" * 20,
        "v=0\r\n",
        "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
        "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=ice-ufrag:abcd\r\n",
        "v=0\r\n" + "m=audio 9 X 0\r\na=mid:a\r\n" * 40,
        "v=0\r\nm=audio 9 X 0\r\n" + "a=x\r\n" * 500,
        "a" * 40_000,
    ],
)
async def test_a_bad_description_is_refused_with_a_sentence(tmp_path: Path, sdp: str) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        with pytest.raises(WorkerRefused) as refusal:
            await b.client.publish(ROOM, "teacher", sdp, {"0": "camera"})
        assert refusal.value.code == "bad_sdp"
        assert len(refusal.value.sentence) > 10
