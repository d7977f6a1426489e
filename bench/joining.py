"""Hundreds come into one class within ten seconds, while a teacher sends a camera in three qualities.

How long until each has a picture, how often the teacher is asked for a keyframe, and the longest pause
between two frames of those who were there before.

    python -m bench.joining [--viewers 300] [--seconds 10]
"""

import argparse
import asyncio
import itertools
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiortc.rtcdtlstransport import RTCCertificate

from bench.lecture import PROGRAMMES, Sender, publish, watch, workers
from bench.peers import Peer
from bench.report import keep, show
from media import rtcp
from media.rtp import is_rtcp

_FIRST = 5  # who are there before
_FREEZE = 200  # ms between two pictures of 20 a second: what WebRTC's statistics count as one
_A_SECOND = 0.95  # two that the worker asks for a second apart may come a little closer


class _Asked:
    """Reads what the teacher is asked for, and sees to it."""

    def __init__(self, sender: Sender) -> None:
        self.times: dict[int, list[float]] = defaultdict(list)  # by SSRC
        self._sender = sender
        self._unprotect = sender.publisher.dtls._rx_srtp.unprotect_rtcp
        self._streams = {stream.ssrc: stream for stream in PROGRAMMES["camera"]}
        asyncio.get_running_loop().add_reader(sender.publisher.socket, self._readable)

    def _readable(self) -> None:
        for data in self._sender.publisher.datagrams():
            if not 127 < data[0] < 192 or not is_rtcp(data):
                continue
            for report in rtcp.parse(self._unprotect(data)):
                if isinstance(report, rtcp.KeyframeRequest):
                    self.times[report.media_ssrc].append(time.monotonic())
                    self._sender.wanted.add(self._streams[report.media_ssrc])


class _Seen:
    """Notes when frames end at a viewer; reads on, so that nothing is lost to a full buffer."""

    def __init__(self, viewer: Peer, joined: float) -> None:
        self.joined = joined
        self.frames: list[float] = []
        self._viewer = viewer
        viewer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        asyncio.get_running_loop().add_reader(viewer.socket, self._readable)

    def _readable(self) -> None:
        for data in self._viewer.datagrams():
            if 127 < data[0] < 192 and not is_rtcp(data) and data[1] & 0x80:
                self.frames.append(time.monotonic())


async def measure(viewers: int, seconds: float) -> dict[str, Any]:
    async with workers() as running:
        client = running.first
        sender = await publish(client, PROGRAMMES["camera"], on_demand=True)
        asked = _Asked(sender)
        sending = asyncio.create_task(sender.run())
        certificate = RTCCertificate.generateCertificate()
        await asyncio.sleep(2)
        seen = []
        for n in range(_FIRST):
            began = time.monotonic()
            seen.append(_Seen(await watch(client, certificate, n), began))
        await asyncio.sleep(5)
        start = time.monotonic()
        for n in range(viewers):
            began = time.monotonic()
            seen.append(_Seen(await watch(client, certificate, _FIRST + n), began))
            await asyncio.sleep(max(0, start + (n + 1) * seconds / viewers - time.monotonic()))
        took = time.monotonic() - start
        await asyncio.sleep(3)
        sending.cancel()
        ended = time.monotonic()
        stats = await client.stats()
    waits = sorted(one.frames[0] - one.joined for one in seen[_FIRST:] if one.frames)
    before = [(*one.frames, ended) for one in seen[:_FIRST]]
    pauses = [b - a for frames in before for a, b in itertools.pairwise(frames) if b > start]
    return {
        f"joined (target >= {viewers})": len(waits),
        "within, s": took,
        "first frame, a keyframe or not, p50, ms": 1000 * waits[len(waits) // 2],
        "first frame, a keyframe or not, p95, ms": 1000 * waits[len(waits) * 95 // 100],
        "keyframes asked for, most in any second, of all qualities (target <= 1)": _most_in_a_second(
            list(itertools.chain(*asked.times.values()))
        ),
        "keyframes asked for in all": sum(map(len, asked.times.values())),
        f"longest pause of those before, ms (target <= {_FREEZE})": 1000 * max(pauses),
        "ticks over 20 ms late": stats["late_ticks"],
    }


def _most_in_a_second(times: Sequence[float]) -> int:
    return max((sum(1 for other in times if at <= other < at + _A_SECOND) for at in times), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--viewers", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    found = asyncio.run(measure(asked.viewers, asked.seconds))
    show(found)
    keep("joining", found)


if __name__ == "__main__":
    main()
