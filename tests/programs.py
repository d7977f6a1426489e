"""Programs beside the pages of a class: encoders that send for a teacher, a student who counts what comes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

from tests.builders import Answer, ClassSocket, Person, School

CAMERA, MICROPHONE, SCREEN = "1", "2", "0"  # the sections of the stage


def new_peer() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))


async def media_key(school: School, who: Person, session: str) -> Any:
    made = await school.call("POST", f"/api/live-sessions/{session}/media-key", who)
    assert made.status == 201, made
    return made.body


async def ask(school: School, peer: RTCPeerConnection, path: str, key: str, process: int) -> Answer:
    """Offer what the peer has, and take the answer if it is one."""
    await peer.setLocalDescription(await peer.createOffer())
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
    sdp = peer.localDescription.sdp
    answer = await school.call("POST", path, process=process, headers=headers, data=sdp)
    if answer.status == 201:
        await peer.setRemoteDescription(RTCSessionDescription(answer.body, "answer"))
    return answer


@asynccontextmanager
async def encoder(
    school: School, session: str, key: str, *, codec: str = "H264", query: str = "", process: int = 0
) -> AsyncIterator[tuple[Answer, RTCPeerConnection]]:
    """What OBS does: sound and a picture, one request."""
    peer = new_peer()
    peer.addTransceiver(AudioStreamTrack(), direction="sendonly")
    picture = peer.addTransceiver(VideoStreamTrack(), direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    picture.setCodecPreferences([one for one in codecs if one.mimeType == f"video/{codec}"])
    try:
        answer = await ask(school, peer, f"/whip/{session}{query}", key, process)
        yield answer, peer
    finally:
        await peer.close()


class Watcher:
    """A student who counts the frames of each place."""

    def __init__(self, socket: ClassSocket) -> None:
        self.frames: Counter[str] = Counter()
        self.socket = socket
        self._peer = new_peer()
        self._pumps: list[asyncio.Task[None]] = []

    async def watch(self) -> None:
        self._peer.on("track", lambda track: self._pumps.append(asyncio.ensure_future(self._pump(track))))
        offer = (await self.socket.ask("media.subscribe", {"restart": False}))["ok"]
        await self._peer.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        await self.socket.ask("media.answer", {"sdp": self._peer.localDescription.sdp})

    async def _pump(self, track: Any) -> None:
        mid = next(one.mid for one in self._peer.getTransceivers() if one.receiver.track is track)
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            self.frames[str(mid)] += 1

    async def more(self, *mids: str, seconds: float = 20) -> None:
        """Wait for ten more frames of each place."""
        wanted = {mid: self.frames[mid] + 10 for mid in mids}
        for _ in range(int(seconds / 0.1)):
            if all(self.frames[mid] >= count for mid, count in wanted.items()):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{dict(self.frames)}, not {wanted}")

    async def close(self) -> None:
        await self._peer.close()
        for pump in self._pumps:
            pump.cancel()


@asynccontextmanager
async def watched_class(school: School) -> AsyncIterator[tuple[Person, Person, str, Watcher]]:
    teacher, student = await school.register("instructor"), await school.register()
    course = await school.course(teacher)
    await school.enroll([student], course)
    session = await school.session(teacher, course)
    watcher = Watcher(await school.enter(student, session))
    await watcher.watch()
    try:
        yield teacher, student, session, watcher
    finally:
        await watcher.close()
