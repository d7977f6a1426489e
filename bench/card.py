"""A large picture to many viewers at once, over a network card that carries less than we can encrypt.

A class whose screen changes as a whole every second: sixty packets for everybody, beside a camera and a
voice. The server and the viewers are in two network namespaces; the server's card carries `--mbit`, about
twice what the class takes on average, and holds no more than a card does. What came of each kind, of all that
was to be sent, and when.

    python -m bench.card [--viewers 200] [--mbit 600] [--seconds 10]

Needs root, for the namespaces; where it is missing it says so.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
from typing import Any

from aiortc.rtcdtlstransport import RTCCertificate

from bench.forwarding import RESULTS, Stream, publish, settled, watch, workers
from bench.namespaces import Namespace, NoNamespaces, two_hosts
from bench.peers import Peer
from media.rtp import HEADER, is_rtcp

PROGRAMME = (
    Stream("0", "camera", "", 24, 5, 1000, watched=True),
    Stream("1", "screen", "", 1, 60, 1000, watched=True),
    Stream("2", "microphone", "", 50, 1, 90, watched=True),
)
_SAMPLED = 12  # viewers, evenly among them, whose packets are counted
_BUFFER_BYTES = 8 << 20
_KINDS = {0x10_0000: "screen", 0x10_0001: "camera", 0x10_0002: "microphone"}


class _Counted:
    """Notes which packets one viewer is sent at first: retransmissions have an SSRC of their own."""

    def __init__(self, viewer: Peer) -> None:
        self.came: dict[str, int] = dict.fromkeys(_KINDS.values(), 0)
        self._viewer = viewer
        for _ in viewer.datagrams():
            pass
        viewer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        asyncio.get_running_loop().add_reader(viewer.socket, self._readable)

    def _readable(self) -> None:
        for data in self._viewer.datagrams():
            if 127 < data[0] < 192 and not is_rtcp(data):
                kind = _KINDS.get(HEADER.unpack_from(data)[4])
                if kind is not None:
                    self.came[kind] += 1

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._viewer.socket)


async def measure(server: Namespace, viewers: int, seconds: float) -> dict[str, Any]:
    certificate = RTCCertificate.generateCertificate()
    async with workers(server=server) as running:
        sender = await publish(running.first, PROGRAMME)
        sending = asyncio.create_task(sender.run())
        watching = [await watch(running.first, certificate, n) for n in range(viewers)]
        await settled(running, sender.watched_per_second * viewers)
        for viewer in watching:
            viewer.check_again()
        counted = [_Counted(one) for one in watching[:: max(1, viewers // _SAMPLED)]]
        was = await running.first.stats()
        await asyncio.sleep(seconds)
        now = await running.first.stats()
        for one in counted:
            one.stop()
        sending.cancel()
    found: dict[str, Any] = {}
    for stream in PROGRAMME:
        wanted = stream.frames * stream.packets * seconds
        shares = sorted(one.came[stream.source] / wanted for one in counted)
        found[f"{stream.source}: came to the median viewer, %"] = 100 * shares[len(shares) // 2]
        found[f"{stream.source}: came to the worst, %"] = 100 * shares[0]
    found["packets dropped by the server, % of those sent"] = (
        100 * (now["send_dropped"] - was["send_dropped"]) / (now["sent"] - was["sent"])
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--mbit", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--server", help=argparse.SUPPRESS)  # inside: the namespace of the server
    asked = parser.parse_args()
    if asked.server:
        found = asyncio.run(measure(Namespace(*asked.server.split(",")), asked.viewers, asked.seconds))
        for figure, value in found.items():
            print(f"{figure:<52}{value:>8.2f}")
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "card.json").write_text(json.dumps(found, indent=2) + "\n")
        return 0
    try:
        with two_hosts(mbit=asked.mbit) as (server, clients):
            inside = clients.run(sys.executable, "-m", "bench.card", *sys.argv[1:])
            return subprocess.run(
                [*inside, "--server", f"{server.name},{server.address}"], check=False
            ).returncode
    except NoNamespaces as error:
        print(f"no network namespaces here, nothing was measured: {error}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
