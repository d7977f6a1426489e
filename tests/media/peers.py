"""A media worker in this process, and aiortc peers that use it as browsers do."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

from media.control import WorkerClient
from media.pipe import Outlet
from media.worker import Worker, WorkerSettings, advertised
from tests.builders import until
from tests.product import free_ports

ROOM = "room"
CAMERA, MICROPHONE, STUDENT_CAMERA = "1", "2", "6"  # sections of the stage


class Bench:
    """The worker, its client, and what it said."""

    def __init__(self, worker: Worker, client: WorkerClient) -> None:
        self.worker = worker
        self.client = client
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.peers: list[RTCPeerConnection] = []
        self.frames: Counter[tuple[str, str]] = Counter()
        self.pumps: list[asyncio.Task[None]] = []
        self.rank = 0

    def peer(self) -> RTCPeerConnection:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.peers.append(peer)
        return peer

    async def attach(self, name: str, *, staff: bool = False, device: str = "d") -> None:
        self.rank += 1
        await self.client.attach(ROOM, name, staff=staff, device=device, fence=self.rank)

    async def publish(self, name: str, sources: tuple[str, ...]) -> tuple[RTCPeerConnection, dict[str, str]]:
        """Send each source from a new connection; return it and what was refused."""
        peer = self.peer()
        for source in sources:
            track = AudioStreamTrack() if source == "microphone" else VideoStreamTrack()
            peer.addTransceiver(track, direction="sendonly")
        await peer.setLocalDescription(await peer.createOffer())
        named = {str(n): source for n, source in enumerate(sources)}
        answer = await self.client.publish(ROOM, name, peer.localDescription.sdp, named)
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        return peer, answer["refused"]

    async def subscribe(self, name: str) -> RTCPeerConnection:
        """Watch the stage; frames are counted by (name, section)."""
        peer = self.peer()

        async def pump(track: Any) -> None:
            mid = next(one.mid for one in peer.getTransceivers() if one.receiver.track is track)
            while True:
                try:
                    await track.recv()
                except MediaStreamError:
                    return
                self.frames[name, str(mid)] += 1

        peer.on("track", lambda track: self.pumps.append(asyncio.ensure_future(pump(track))))
        offer = await self.client.subscribe(ROOM, name, restart=False)
        await peer.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        await self.client.answer(ROOM, name, peer.localDescription.sdp)
        return peer

    async def hold_class(self, *students: str) -> None:
        await self.attach("teacher", staff=True)
        await self.publish("teacher", ("microphone", "camera"))
        for name in students:
            await self.attach(name)
            await self.subscribe(name)

    async def keeps_up_over(self, loss: "Loss") -> None:
        """Hold a class that b watches over a pipe, and a does not: b misses hardly more when it loses."""
        await self.hold_class("a", "b")
        await self.sees("b")
        loss.begun, seen = True, {name: self.frames[name, CAMERA] for name in ("a", "b")}
        before = await came(self.peers[-1], "video")
        await asyncio.sleep(4)
        assert loss.messages > 100
        found = await came(self.peers[-1], "video")
        assert found["lost"] - before["lost"] < 0.02 * (found["came"] - before["came"])
        assert self.frames["b", CAMERA] - seen["b"] > 0.9 * (self.frames["a", CAMERA] - seen["a"])

    async def sees(self, name: str, mid: str = CAMERA) -> None:
        """Wait for thirty more frames of a place."""
        before = self.frames[name, mid]
        await until(lambda: self.frames[name, mid] > before + 30, 20)


async def came(peer: RTCPeerConnection, *kinds: str) -> Counter[str]:
    """Return how many packets of these kinds of media came and how many did not."""
    report = (await peer.getStats()).values()
    streams = [one for one in report if one.type == "inbound-rtp" and one.kind in kinds]
    return Counter(
        came=sum(one.packetsReceived for one in streams), lost=sum(one.packetsLost for one in streams)
    )


@dataclass
class Loss:
    """Of pipes, of every twelfth message once it has begun: of a burst, and to another host of a packet."""

    begun: bool = False
    messages: int = 0


@contextmanager
def lossy_pipes() -> Iterator[Loss]:
    """Let pipes that are opened from now on lose messages."""
    leaves, loss = Outlet._leaves, Loss()

    def lossy(self: Outlet, to: socket.socket, message: bytes) -> bool:
        loss.messages += loss.begun
        is_lost = loss.begun and not loss.messages % 12
        return is_lost or leaves(self, to, message)

    with patch.object(Outlet, "_leaves", lossy):
        yield loss


@asynccontextmanager
async def bench(folder: Path, **settings: Any) -> AsyncIterator[Bench]:
    async with (
        _worker(replace(_settings(folder, 0), **settings)) as worker,
        _asked(worker, folder, 0) as made,
    ):
        yield made


@asynccontextmanager
async def two_workers(folder: Path) -> AsyncIterator[tuple[Bench, Bench, asyncio.Event]]:
    """Run two workers; the first carries one viewer of a room, the event ends the second."""
    stop = asyncio.Event()
    settings = [
        replace(_settings(folder, n), others=[_control(folder, 1 - n)], most_viewers=1) for n in range(2)
    ]
    async with (
        _worker(settings[0]) as first,
        _worker(settings[1], stop) as second,
        _asked(first, folder, 0) as one,
        _asked(second, folder, 1) as two,
    ):
        await asyncio.sleep(0.3)  # for them to find each other
        yield one, two, stop


@asynccontextmanager
async def two_hosts(folder: Path, secrets: tuple[bytes, bytes]) -> AsyncIterator[tuple[Bench, Bench, str]]:
    """Run two workers that meet as those of two hosts do, each with its secret; the first carries one viewer
    of a room. The text is the second one's address.
    """
    addresses = [f"127.0.0.1:{free_ports(1)}" for _ in range(2)]
    settings = [
        replace(_settings(folder, n), other_hosts=addresses[n], secret=secrets[n], most_viewers=1)
        for n in range(2)
    ]
    async with (
        _worker(settings[0]) as first,
        _worker(settings[1]) as second,
        _asked(first, folder, 0) as one,
        _asked(second, folder, 1) as two,
    ):
        await one.client.know([addresses[1]])
        await two.client.know([addresses[0]])
        await asyncio.sleep(0.3)
        yield one, two, addresses[1]


def _control(folder: Path, index: int) -> Path:
    return folder / f"c{index}.sock"


def _settings(folder: Path, index: int) -> WorkerSettings:
    return WorkerSettings(
        index=index,
        host="",
        udp_port=0,
        tcp_port=0,
        public_address=advertised("", "0.0.0.0")[0],
        control=_control(folder, index),
    )


@asynccontextmanager
async def _worker(settings: WorkerSettings, stop: asyncio.Event | None = None) -> AsyncIterator[Worker]:
    stop = stop or asyncio.Event()
    worker = Worker(settings)
    running = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await running


@asynccontextmanager
async def _asked(worker: Worker, folder: Path, index: int) -> AsyncIterator[Bench]:
    client = WorkerClient(
        str(_control(folder, index)), lambda name, facts: made.said.append((name, facts)), lambda: None
    )
    made = Bench(worker, client)
    talking = asyncio.create_task(client.run())
    await client.ready(10)
    try:
        yield made
    finally:
        await asyncio.gather(*(peer.close() for peer in made.peers))
        for pump in made.pumps:
            pump.cancel()
        await asyncio.gather(*made.pumps, return_exceptions=True)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
