"""What forwarding one packet costs us, beside what it costs Janus' videoroom, in one run.

Both serve the same class: a camera without qualities, 24 pictures a second of five packets, and a voice, to
viewers that really shook hands. The servers are on one host and the publisher and the viewers on another:
network namespaces with a pair of virtual cards. Each is measured in turn, several times; the ratio of the
medians counts. Janus runs with `event_loops`, without anything else of its own to do.

    python -m bench.janus [viewers ...] [--seconds 8] [--runs 3]

Needs root and Janus (Debian: apt-get install janus); where one is missing it says so.
"""

import argparse
import asyncio
import itertools
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aioice import stun
from aiortc.rtcdtlstransport import RTCCertificate

from bench.lecture import Sender, Stream, offered, publish, watch, workers
from bench.namespaces import Namespace, again_on_two_hosts
from bench.peers import Peer
from bench.report import keep, verdict

PROGRAMME = (
    Stream("0", "camera", "", 24, 5, 1000, watched=True),
    Stream("1", "microphone", "", 50, 1, 90, watched=True),
)
TARGET = 0.45
_ICE_PASSWORD = "twentytwocharactersormore"  # noqa: S105 - of peers that live for a minute
_AT_ONCE = 10  # that come
_SAMPLED = 6  # viewers whose packets are counted
_FOLDERS = Path("/usr/lib/x86_64-linux-gnu/janus")
_PORT, _ROOM = 8188, 1
_CONFIGURATION = """
general: {{
    configs_folder = "{folder}"
    plugins_folder = "{folder}/plugins"
    transports_folder = "{folder}/transports"
    events_folder = "{folder}/none"
    loggers_folder = "{folder}/none"
    debug_level = 2
    session_timeout = 0
    event_loops = 2
}}
media: {{ ipv6 = false }}
"""
_SOCKETS = 'general: {{ ws = true, ws_port = {port}, ws_ip = "{address}", json = "compact" }}\n'


class FullPeer(Peer):
    """A peer that answers checks: Janus is a full ICE agent, and sends them."""

    def __init__(self, certificate: RTCCertificate, *, role: str) -> None:
        super().__init__(certificate)
        self.role = role

    def checked(self, data: bytes) -> None:
        message = stun.parse_message(data)
        if message.message_class is not stun.Class.REQUEST:
            return
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = self.socket.getpeername()
        answer.add_message_integrity(_ICE_PASSWORD.encode())
        self.socket.send(bytes(answer))


class Api:
    """Janus' websocket API: a session whose handles send messages and wait for their events."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket_
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._session: int | None = None
        self.address = str(socket_.get_extra_info("sockname")[0])  # of ours

    async def read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            future = self._waiting.get(said.get("transaction", ""))
            if said["janus"] != "ack" and future is not None and not future.done():
                future.set_result(said)

    async def ask(self, **message: Any) -> dict[str, Any]:
        number = str(next(self._numbers))
        self._waiting[number] = asyncio.get_running_loop().create_future()
        session = {} if self._session is None else {"session_id": self._session}
        await self._socket.send_json({"transaction": number, **session, **message})
        said = await asyncio.wait_for(self._waiting[number], 20)
        assert said["janus"] in {"success", "event"}, said
        return said

    async def begin(self) -> None:
        self._session = (await self.ask(janus="create"))["data"]["id"]

    async def handle(self) -> int:
        answer = await self.ask(janus="attach", plugin="janus.plugin.videoroom")
        number: int = answer["data"]["id"]
        return number

    async def tell(
        self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None = None
    ) -> dict[str, Any]:
        more = {} if jsep is None else {"jsep": jsep}
        said = await self.ask(janus="message", handle_id=handle, body=body, **more)
        assert "error" not in said["plugindata"]["data"], said
        return said


@asynccontextmanager
async def _janus(server: Namespace) -> AsyncIterator[tuple[Api, psutil.Process]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for kind, library in (("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_websockets.so")):
            (folder / kind).mkdir()
            (folder / kind / library).symlink_to(_FOLDERS / kind / library)
        (folder / "none").mkdir()
        (folder / "janus.jcfg").write_text(_CONFIGURATION.format(folder=folder))
        (folder / "janus.transport.websockets.jcfg").write_text(
            _SOCKETS.format(port=_PORT, address=server.address)
        )
        (folder / "janus.plugin.videoroom.jcfg").write_text("general: {}\n")
        command = ("janus", "--config", str(folder / "janus.jcfg"), "--configs-folder", str(folder))
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(server.run(*command), stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession() as client:
                api = Api(await _connected(client, f"ws://{server.address}:{_PORT}", folder / "log"))
                reading = asyncio.create_task(api.read())
                await api.begin()
                yield api, psutil.Process(process.pid)
                reading.cancel()
        finally:
            process.terminate()
            process.wait(10)


async def _connected(client: aiohttp.ClientSession, url: str, log: Path) -> aiohttp.ClientWebSocketResponse:
    for _ in range(100):
        try:
            return await client.ws_connect(url, protocols=("janus-protocol",), max_msg_size=0)
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
    raise AssertionError(f"Janus did not start: {log}")


def _described(peer: Peer, address: str, sections: Sequence[str]) -> str:
    """What we tell Janus of this side; it wants more said than our own server does."""
    peer.socket.bind((address, 0))
    port = peer.socket.getsockname()[1]
    mids = " ".join(str(n) for n in range(len(sections)))
    more = f"c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:peer\r\na=ice-pwd:{_ICE_PASSWORD}\r\n"
    more += f"a=candidate:1 1 udp 2130706431 {address} {port} typ host\r\n"
    first, rest = peer.description("").split("t=0 0\r\n")
    body = "".join(section.replace("a=mid", f"{more}a=mid", 1) for section in sections)
    return f"{first}t=0 0\r\na=group:BUNDLE {mids}\r\n{rest}{body}"


async def _published(api: Api) -> Sender:
    room = await api.handle()
    await api.tell(
        room,
        {
            "request": "create",
            "room": _ROOM,
            "publishers": 1,
            "bitrate": 0,
            "videocodec": "vp8",
            "audiocodec": "opus",
        },
    )
    peer = FullPeer(RTCCertificate.generateCertificate(), role="controlling")
    handle = await api.handle()
    await api.tell(handle, {"request": "join", "room": _ROOM, "ptype": "publisher", "id": 7})
    offer = _described(peer, api.address, [offered(stream.mid, PROGRAMME) for stream in PROGRAMME])
    said = await api.tell(handle, {"request": "publish"}, {"type": "offer", "sdp": offer})
    await peer.connect(said["jsep"]["sdp"])
    return Sender(peer, PROGRAMME)


async def _watched(api: Api, certificate: RTCCertificate) -> Peer:
    peer, handle = FullPeer(certificate, role="controlled"), await api.handle()
    said = await api.tell(
        handle, {"request": "join", "room": _ROOM, "ptype": "subscriber", "streams": [{"feed": 7}]}
    )
    offer = said["jsep"]["sdp"]
    sections = []
    for section in offer.split("\r\nm=")[1:]:
        kind, _, protocol, payload_type = section.split("\r\n")[0].split()[:4]
        mid = section.split("a=mid:")[1].split("\r\n")[0]
        codec = "opus/48000/2" if kind == "audio" else "VP8/90000"
        sections.append(
            f"m={kind} 9 {protocol} {payload_type}\r\na=mid:{mid}\r\na=recvonly\r\n"
            f"a=rtpmap:{payload_type} {codec}\r\n"
        )
    await api.tell(
        handle, {"request": "start"}, {"type": "answer", "sdp": _described(peer, api.address, sections)}
    )
    await peer.connect(offer)
    return peer


class _Counted:
    """Counts the media packets one viewer is sent."""

    def __init__(self, viewer: Peer) -> None:
        self.packets = 0
        self._viewer = viewer
        viewer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for _ in viewer.datagrams():
            pass
        asyncio.get_running_loop().add_reader(viewer.socket, self._readable)

    def _readable(self) -> None:
        for data in self._viewer.datagrams():
            self.packets += 127 < data[0] < 192 and not 192 <= data[1] <= 223

    def stop(self) -> int:
        asyncio.get_running_loop().remove_reader(self._viewer.socket)
        return self.packets


async def _measured(
    sender: Sender,
    see: Callable[[int], Awaitable[Peer]],
    cpu: Callable[[], float],
    viewers: int,
    seconds: float,
) -> dict[str, Any]:
    """Return CPU microseconds for each packet that came, and which share of those sent came."""
    sending = asyncio.create_task(sender.run())
    await asyncio.sleep(2.5)
    watching: list[Peer] = []
    for begin in range(0, viewers, _AT_ONCE):
        watching += await asyncio.gather(*(see(n) for n in range(begin, min(begin + _AT_ONCE, viewers))))
    await asyncio.sleep(6)
    for viewer in watching:
        viewer.check_again()
    step = max(1, viewers // _SAMPLED)
    counted = [_Counted(one) for one in watching[::step]]
    before = cpu()
    await asyncio.sleep(seconds)
    spent = cpu() - before
    packets = sum(one.stop() for one in counted) / len(counted)
    sending.cancel()
    sent = sum(stream.frames * stream.packets for stream in PROGRAMME) * seconds
    profile = watching[0].dtls._ssl.get_selected_srtp_profile().decode()
    return {"us_per_packet": spent / (packets * viewers) * 1e6, "came": packets / sent, "profile": profile}


def _cpu(process: psutil.Process) -> Callable[[], float]:
    def spent() -> float:
        times = process.cpu_times()
        return times.user + times.system

    return spent


async def _ours(server: Namespace, viewers: int, seconds: float) -> dict[str, Any]:
    certificate = RTCCertificate.generateCertificate()
    async with workers(server=server) as running:
        sender = await publish(running.first, PROGRAMME)
        return await _measured(
            sender, lambda n: watch(running.first, certificate, n), running.cpu, viewers, seconds
        )


async def _theirs(server: Namespace, viewers: int, seconds: float) -> dict[str, Any]:
    certificate = RTCCertificate.generateCertificate()
    async with _janus(server) as (api, process):
        sender = await _published(api)
        return await _measured(sender, lambda _n: _watched(api, certificate), _cpu(process), viewers, seconds)


def _compare(server: Namespace, viewers: int, seconds: float, runs: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {"janus": [], "liveserver": []}
    for _ in range(runs):
        for name, measure in (("janus", _theirs), ("liveserver", _ours)):
            found[name].append(asyncio.run(measure(server, viewers, seconds)))
    row: dict[str, Any] = {"viewers": viewers, "runs": found}
    for name, results in found.items():
        row[name] = statistics.median(one["us_per_packet"] for one in results)
        came = min(one["came"] for one in results)
        profile = results[0]["profile"]
        print(f"{viewers:>10}{name:>14}{row[name]:>14.2f}{100 * came:>14.1f}   {profile}", flush=True)
    row["ratio"] = row["liveserver"] / row["janus"]
    row["verdict"] = verdict(row["ratio"], TARGET)
    print(f"{'ratio':>24}{row['ratio']:>14.2f}   (target <= {TARGET}) {row['verdict']}", flush=True)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("viewers", nargs="*", type=int, default=[100, 300])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--server", help=argparse.SUPPRESS)  # inside: the namespace of the servers
    asked = parser.parse_args()
    if asked.server:
        server = Namespace(*asked.server.split(","))
        print(f"{'viewers':>10}{'server':>14}{'us/packet':>14}{'came, %':>14}   SRTP")
        rows = [_compare(server, viewers, asked.seconds, asked.runs) for viewers in asked.viewers]
        keep("janus", rows)
        return 0
    if shutil.which("janus") is None:
        print("Janus is not installed (Debian: apt-get install janus): nothing to compare with")
        return 0
    return again_on_two_hosts("bench.janus")


if __name__ == "__main__":
    sys.exit(main())
