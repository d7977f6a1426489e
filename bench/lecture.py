"""A class as the benchmarks give it: media workers in processes of their own, a publisher, and viewers who
shake hands and then cost nothing.
"""

import asyncio
import heapq
import itertools
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from aiortc.rtcdtlstransport import RTCCertificate

from bench.namespaces import Namespace
from bench.peers import Peer
from media.control import WorkerClient
from media.memory import environment
from media.rtp import URI_AUDIO_LEVEL, URI_MID, URI_RID, URI_TRANSPORT_SEQUENCE
from media.worker import advertised

_MOST_SECONDS_TO_SETTLE = 25
_CALM_SECONDS = 2
_SECONDS_BETWEEN_CHECKS = 5.0
_TRIES = 3
_STEPS = 20  # in which viewers report, one after another
_COUNTED = ("sent", "send_dropped", "send_waited", "ticks", "late_ticks", "pictures", "pictures_us")
_RTX = ["a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"]
_SPEECH = 30  # dB below the loudest
_SOURCES = {0x10_0000: "screen", 0x10_0001: "camera", 0x10_0002: "microphone"}  # by SSRC


def with_a_workers_memory() -> None:
    """Begin this program anew, if need be, in the environment of a worker: what is measured beside one is to
    have no worse memory.
    """
    wanted = environment(os.environ)
    if wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)  # noqa: S606


@dataclass(frozen=True)
class Stream:
    """What is sent: `frames` a second of `packets` each, of `size` bytes; if `watched`, by everybody."""

    mid: str
    source: str
    rid: str
    frames: int
    packets: int
    size: int
    watched: bool

    @property
    def ssrc(self) -> int:
        return 100 * int(self.mid) + {"q": 1, "h": 2, "f": 3, "": 4}[self.rid]


_CAMERA = (
    Stream("0", "camera", "q", 24, 1, 700, watched=False),
    Stream("0", "camera", "h", 24, 2, 1000, watched=False),
    Stream("0", "camera", "f", 24, 5, 1000, watched=True),
)
_CLASS = (
    *_CAMERA,
    Stream("1", "screen", "q", 5, 3, 1000, watched=False),
    Stream("1", "screen", "f", 10, 10, 1000, watched=True),
    Stream("2", "microphone", "", 50, 1, 90, watched=True),
)
PROGRAMMES = {"camera": _CAMERA, "class": _CLASS}


@dataclass(frozen=True)
class Turn:
    """What a stretch of a lecture took."""

    us_per_packet: float
    counts: Counter[str]
    viewers: Sequence["Watched"]  # those that were looked at

    @property
    def us_per_picture(self) -> float:
        """Return what bursts of pictures cost, in microseconds per packet of them."""
        return self.counts["pictures_us"] / self.counts["pictures"]

    def delays(self, source: str = "") -> list[float]:
        """Return the seconds frames needed, sorted; of one source, or of all."""
        return sorted(delay for one in self.viewers for of, delay in one.delays if of == source or not source)


class Workers:
    """Media workers in processes of their own; rooms begin at the first."""

    def __init__(self, clients: Sequence[WorkerClient], processes: Sequence[psutil.Process]) -> None:
        self.first = clients[0]
        self._clients = clients
        self._processes = processes

    async def stats(self) -> Counter[str]:
        """Return the counts of all of them together."""
        counts: Counter[str] = Counter()
        for client in self._clients:
            stats = await client.stats()
            counts.update({name: stats[name] for name in _COUNTED})
        return counts

    def cpu(self) -> float:
        """Return the seconds of all of them together."""
        # Linux' name for another process' clock: psutil counts in hundredths of a second.
        return sum(time.clock_gettime(~one.pid << 3 | 2) for one in self._processes)

    def memory(self) -> int:
        return sum(one.memory_info().rss for one in self._processes)


@asynccontextmanager
async def workers(
    count: int = 1, most: int = 10_000, *, server: Namespace | None = None
) -> AsyncIterator[Workers]:
    """Run workers, on another host if need be; each carries at most so many viewers of one room, while there
    are others.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        controls = [str(Path(folder) / f"c{n}.sock") for n in range(count)]
        address = server.address if server else advertised("", "0.0.0.0")[0]
        python = server.run(sys.executable) if server else [sys.executable]
        started = [
            subprocess.Popen(
                [*python, "-m", "bench.worker", str(n), str(most), address, *controls],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(os.environ),
            )
            for n in range(count)
        ]
        clients = [WorkerClient(one, lambda _name, _facts: None, lambda: None) for one in controls]
        talking = [asyncio.create_task(client.run()) for client in clients]
        try:
            for client in clients:
                await client.ready(20)
            await asyncio.sleep(0.3)  # for them to find each other
            yield Workers(clients, [psutil.Process(one.pid) for one in started])
        finally:
            for task in talking:
                task.cancel()
            for process in started:
                process.terminate()
            for process in started:
                process.wait(10)


async def publish(client: WorkerClient, programme: Sequence[Stream], *, on_demand: bool = False) -> "Sender":
    """Let a teacher send the programme; its `run` is to be started."""
    publisher = Peer(RTCCertificate.generateCertificate())
    await client.attach("r", "teacher", staff=True, device="d", fence=1)
    sources = {stream.mid: stream.source for stream in programme}
    offer = publisher.description("".join(offered(mid, programme) for mid in sources))
    answer = await client.publish("r", "teacher", offer, sources)
    assert not answer["refused"]
    await publisher.connect(answer["sdp"])
    return Sender(publisher, programme, on_demand=on_demand)


def offered(mid: str, programme: Sequence[Stream]) -> str:
    streams = [stream for stream in programme if stream.mid == mid]
    kind = "audio" if streams[0].source == "microphone" else "video"
    codec = "opus/48000/2" if kind == "audio" else "VP8/90000"
    types = "96" if kind == "audio" else "96 97"
    lines = [f"m={kind} 9 UDP/TLS/RTP/SAVPF {types}", f"a=mid:{mid}", "a=sendonly", f"a=rtpmap:96 {codec}"]
    lines += [f"a=extmap:1 {URI_MID}", f"a=extmap:2 {URI_RID}", f"a=extmap:3 {URI_TRANSPORT_SEQUENCE}"]
    lines += [f"a=extmap:4 {URI_AUDIO_LEVEL}"] if kind == "audio" else _RTX
    rids = [stream.rid for stream in streams if stream.rid]
    if rids:
        lines += [f"a=rid:{rid} send" for rid in rids] + [f"a=simulcast:send {';'.join(rids)}"]
    else:
        lines.append(f"a=ssrc:{streams[0].ssrc} cname:c")
    return "".join(f"{line}\r\n" for line in lines)


async def watch(client: WorkerClient, certificate: RTCCertificate, n: int) -> Peer:
    viewer = Peer(certificate)
    await client.attach("r", f"s{n}", staff=False, device="d", fence=1)
    offer = await client.subscribe("r", f"s{n}", restart=False)
    plain = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
    await client.answer("r", f"s{n}", viewer.description(plain))
    await viewer.connect(offer["sdp"])
    return viewer


class Sender:
    """The publisher. Every frame begins like a key picture, so nothing waits for one; with `on_demand` only
    the first does, and those that are asked for.
    """

    def __init__(self, publisher: Peer, programme: Sequence[Stream], *, on_demand: bool = False) -> None:
        self._on_demand = on_demand
        self.wanted = set(programme)  # of which a key picture is due
        self.silent: set[str] = set()  # sources that send nothing for now
        self.publisher = publisher
        self._protect = publisher.dtls._tx_srtp.protect
        self._socket = publisher.socket
        self._programme = programme
        self._in_all = 0  # packets
        self._sequence = dict.fromkeys(programme, 0)
        self._frames = dict.fromkeys(programme, 0)
        self.sent_at: dict[tuple[int, str], float] = {}  # by a frame's time and source

    @property
    def frames_per_second(self) -> int:
        return sum(stream.frames for stream in self._programme if stream.watched)

    @property
    def watched_per_second(self) -> int:
        """Return how many packets a viewer is to be sent."""
        return sum(stream.frames * stream.packets for stream in self._programme if stream.watched)

    @property
    def watched_ssrcs(self) -> list[int]:
        """Return the streams a viewer is sent."""
        watched = {stream.source for stream in self._programme if stream.watched}
        return [ssrc for ssrc, source in _SOURCES.items() if source in watched]

    async def run(self) -> None:
        """Send, or go on sending."""
        began = time.perf_counter()
        due = [(began + n / 97, n, stream) for n, stream in enumerate(self._programme)]
        heapq.heapify(due)
        checked_at = began
        while True:
            at, n, stream = heapq.heappop(due)
            if at - checked_at > _SECONDS_BETWEEN_CHECKS:
                checked_at = at
                self.publisher.check_again()
            await asyncio.sleep(max(0, at - time.perf_counter()))
            if stream.source not in self.silent:
                self._frame(stream, self._frames[stream])
            self._frames[stream] += 1
            heapq.heappush(due, (at + 1 / stream.frames, n, stream))

    def _frame(self, stream: Stream, frame: int) -> None:
        key = stream in self.wanted or not self._on_demand
        self.wanted.discard(stream)
        clock = 48_000 if stream.source == "microphone" else 90_000
        for part in range(stream.packets):
            self._sequence[stream] = sequence = (self._sequence[stream] + 1) & 0xFFFF
            last = part == stream.packets - 1
            stamp = frame * clock // stream.frames & 0xFFFFFFFF
            head = struct.pack("!BBHLL", 0x90, (0x80 if last else 0) | 96, sequence, stamp, stream.ssrc)
            names = struct.pack("!BH", 0x31, self._in_all & 0xFFFF)  # first, as browsers have it
            names += bytes((0x40, 0x80 | _SPEECH)) if stream.source == "microphone" else b""
            names += bytes((0x10,)) + stream.mid.encode()
            names += bytes((0x20,)) + stream.rid.encode() if stream.rid else b""
            names += bytes(-len(names) % 4)
            self._in_all += 1
            extension = struct.pack("!HH", 0xBEDE, len(names) // 4) + names
            payload = _descriptor(frame, first=part == 0, key=key)
            payload += os.urandom(stream.size - len(payload))
            if stream.watched and last:
                self.sent_at[stamp, stream.source] = time.perf_counter()
            self._socket.send(self._protect(head + extension + payload))


def _descriptor(frame: int, *, first: bool, key: bool) -> bytes:
    """Return a VP8 descriptor as Chromium writes it, with picture id and TL0PICIDX, and the first byte of
    what follows.
    """
    numbers = struct.pack("!HBB", 0x8000 | frame & 0x7FFF, frame & 0xFF, 0)
    return bytes((0x90 if first else 0x80, 0xE0)) + numbers + (b"\x00" if first and key else b"\x01")


class Watched:
    """Reads what one viewer is sent: how many packets came, and how long after its frame was sent the last
    of each.

    Headers are not encrypted; a stream's stamps are the publisher's and a constant.
    """

    def __init__(self, viewer: Peer, sender: Sender) -> None:
        self.delays: list[tuple[str, float]] = []  # a source, and seconds
        self.came: Counter[str] = Counter()  # by source, without what was sent again
        self._viewer = viewer
        self._sender = sender
        self._offsets: dict[int, int] = {}
        for _ in viewer.datagrams():  # what has waited since the beginning
            pass
        viewer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        asyncio.get_running_loop().add_reader(viewer.socket, self._readable)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._viewer.socket)

    def _readable(self) -> None:
        now = time.perf_counter()
        for data in self._viewer.datagrams():
            if not 127 < data[0] < 192 or 192 <= data[1] <= 223:
                continue
            _, second, _, stamp, ssrc = struct.unpack_from("!BBHLL", data)
            source = _SOURCES.get(ssrc)
            if source is not None:
                self.came[source] += 1
                if second & 0x80:
                    self._time(source, ssrc, stamp, now)

    def _time(self, source: str, ssrc: int, stamp: int, now: float) -> None:
        sent_at, offset = self._sender.sent_at, self._offsets.get(ssrc)
        # The newest frame of that kind has just been sent. One that was not sent yet: it was not so.
        if offset is None or (stamp - offset, source) not in sent_at:
            sent = [(at, one) for (one, of), at in sent_at.items() if of == source]
            if not sent:  # it is of a quality that nobody watches for long
                return
            newest = max(sent)[1]
            offset = self._offsets[ssrc] = stamp - newest
        at = sent_at.get((stamp - offset, source))
        if at is not None:
            self.delays.append((source, now - at))


class Lecture:
    """A programme and its viewers at real workers; sent in turns, and paused between them."""

    def __init__(self, running: Workers, sender: Sender, watching: Sequence[Peer], kib: float) -> None:
        self.kib_per_viewer = kib
        self._running = running
        self._sender = sender
        self._watching = watching
        self._paused = True

    async def stay(self) -> None:
        """Say between two turns, however long, that everybody is still there."""
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_CHECKS)
            if self._paused:
                self._check_again()

    async def report(self) -> None:
        """Say for each viewer once a second how what they watch arrives."""
        for n in itertools.cycle(range(_STEPS)):
            for viewer in self._watching[n::_STEPS]:
                viewer.report(self._sender.watched_ssrcs)
            await asyncio.sleep(1 / _STEPS)

    def _check_again(self) -> None:
        for peer in (self._sender.publisher, *self._watching):
            peer.check_again()

    async def turn(self, seconds: float, looked_at: Sequence[int] = ()) -> Turn:
        """Send for so many seconds once everybody is sent everything; again, where the machine did not keep
        up. Who is looked at: the first and the last of the fan-out and the two in the middle, or these.
        """
        sender = self._sender
        self._paused = False
        sending = asyncio.create_task(sender.run())
        wanted = sender.watched_per_second * len(self._watching)
        viewers = len(self._watching)
        looked_at = looked_at or sorted({0, viewers // 2 - 1, viewers // 2, viewers - 1})
        try:
            for _ in range(_TRIES):
                self._check_again()
                await self._settle(wanted)
                turn = await self._measured(seconds, looked_at)
                if 0.95 < turn.counts["sent"] / (wanted * seconds) < 1.06:
                    break
            else:
                raise AssertionError(f"the worker sent {turn.counts['sent']} of {wanted * seconds}")
        finally:
            self._paused = True
            sending.cancel()
        timed, frames = len(turn.delays()), sender.frames_per_second * seconds * len(looked_at)
        assert timed > frames / 2, f"{timed} of {frames:.0f} frames were timed"
        return turn

    async def _measured(self, seconds: float, looked_at: Sequence[int]) -> Turn:
        sender, running = self._sender, self._running
        watched = [Watched(self._watching[n], sender) for n in looked_at]
        was, cpu = await running.stats(), running.cpu()
        await asyncio.sleep(seconds)
        now, cpu = await running.stats(), running.cpu() - cpu
        for one in watched:
            one.stop()
        counts = now - was
        return Turn(cpu / counts["sent"] * 1e6, counts, watched)

    async def _settle(self, wanted: float) -> None:
        """Wait until so many packets are sent in each of some seconds: links are found to carry more, step by
        step.
        """
        calm = 0
        for _ in range(_MOST_SECONDS_TO_SETTLE):
            sent = (await self._running.stats())["sent"]
            await asyncio.sleep(1)
            now = (await self._running.stats())["sent"]
            calm = calm + 1 if 0.97 < (now - sent) / wanted < 1.03 else 0
            if calm == _CALM_SECONDS:
                return


@asynccontextmanager
async def lecture(
    viewers: int, programme: Sequence[Stream], *, over: int = 1, server: Namespace | None = None
) -> AsyncIterator[Lecture]:
    """Begin a lecture at workers each of which carries as many of the viewers, on another host if need be."""
    async with workers(over, viewers // over if over > 1 else 10_000, server=server) as running:
        client, certificate = running.first, RTCCertificate.generateCertificate()
        sender = await publish(client, programme)
        sending = asyncio.create_task(sender.run())
        await asyncio.sleep(2.5)  # every quality has been measured
        before = running.memory()
        watching = [await watch(client, certificate, n) for n in range(viewers)]
        memory = (running.memory() - before) / viewers / 1024
        sending.cancel()
        lesson = Lecture(running, sender, watching, memory)
        talking = [asyncio.create_task(one) for one in (lesson.stay(), lesson.report())]
        try:
            yield lesson
        finally:
            for one in talking:
                one.cancel()
