"""What forwarding one packet costs a media worker, beside the least it could cost in Python.

A worker process with N viewers that really shook hands, all features on, in two programmes: `camera` is a
camera in three qualities, the best of which everybody watches; `class` is that with a screen and a voice.
Between five stretches of that, the floor: a bare loop with the same packet sizes, keys, bursts and kind of
memory that protects in place with libsrtp and sends with segment offload. `ratio`, which has a target for the
class, is the median stretch by the least of the five floors; `turns` the median of what a stretch is by the
floor just before it, which a machine that is now fast, now slow changes less; `paced` by what the loop costs
when it sleeps between two bursts as they come in a class, and finds its caches cold. `bursts`, which has a
target, too, is as `ratio`, but of pictures alone, from the last packet of a frame having been read to its
last having been sent: what the loop does, without what reading, clocks and estimates cost. Figures are CPU,
not wall. Latency is from the publisher's socket to four viewers': first and last of the fan-out, and the two
in the middle. `missed` names what is above its target.

The publisher's packets have every header extension that we take; each viewer tells once a second what it
gets and what its link carries, as browsers do. Not in it: RED, sender reports, and what links lose.

    python -m bench.forwarding [viewers ...] [--seconds 3]
"""

import argparse
import asyncio
import os
import resource
import socket
import statistics
import struct
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pylibsrtp import Policy
from pylibsrtp import Session as SrtpSession
from pylibsrtp._binding import ffi, lib

from bench.lecture import PROGRAMMES, Stream, Turn, lecture, with_a_workers_memory
from bench.report import keep, verdict
from media.worker import advertised

_TURNS = 5
CLASS_TARGETS = {"ratio": 2.0}
TARGETS = {"bursts": 1.5, "kib_per_viewer": 150.0}
AT_VIEWERS = 300
LATENCIES = {"p50_ms": 1.0, "p99_ms": 10.0}

Floor = dict[Stream, float]  # CPU microseconds per packet


def floor(viewers: int, programme: Sequence[Stream], *, paced: bool = False) -> Floor:
    """Return what each stream costs in the bare loop."""
    return {
        stream: _floor(viewers, stream, 20 if paced else 40, 1 / stream.frames if paced else 0.0)
        for stream in programme
        if stream.watched
    }


def least(floors: Sequence[Floor], *, pictures: bool = False) -> float:
    """Return microseconds per packet of the whole programme, or of its pictures, each stream's the least of
    all.
    """
    counted = [stream for stream in floors[0] if stream.source != "microphone" or not pictures]
    packets = {stream: stream.frames * stream.packets for stream in counted}
    cost = sum(packets[stream] * min(one[stream] for one in floors) for stream in packets)
    return cost / sum(packets.values())


async def measure(viewers: int, seconds: float, name: str) -> dict[str, Any]:
    """Return the figures of turns of so many seconds, with a floor before each, as they are written down."""
    programme = PROGRAMMES[name]
    floors: list[Floor] = []
    turns: list[Turn] = []
    async with lecture(viewers, programme) as lesson:
        for _ in range(_TURNS):
            floors.append(floor(viewers, programme))
            turns.append(await lesson.turn(seconds))
    paced = least([floor(viewers, programme, paced=True) for _ in range(3)])
    costs = [turn.us_per_packet for turn in turns]
    cost = statistics.median(costs)
    delays = sorted(delay for turn in turns for delay in turn.delays())
    counts = sum((turn.counts for turn in turns), Counter())
    row: dict[str, Any] = {
        "programme": name,
        "viewers": viewers,
        "packets": counts["sent"],
        "us_per_packet": cost,
        "floor": least(floors),
        "ratio": cost / least(floors),
        "bursts": statistics.median(turn.us_per_picture for turn in turns) / least(floors, pictures=True),
        "turns": statistics.median(one / least([just]) for one, just in zip(costs, floors, strict=True)),
        "paced": cost / paced,
        "p50_ms": delays[len(delays) // 2] * 1e3,
        "p99_ms": delays[len(delays) * 99 // 100] * 1e3,
        "kib_per_viewer": lesson.kib_per_viewer,
        "late_ticks": counts["late_ticks"],
        "ticks": counts["ticks"],
    }
    targets = {
        **TARGETS,
        **(CLASS_TARGETS if name == "class" else {}),
        **(LATENCIES if viewers == AT_VIEWERS else {}),
    }
    missed = {one: target for one, target in targets.items() if verdict(row[one], target) != "ok"}
    return row | {"missed": " ".join(f"{one}<={target}" for one, target in missed.items()) or "-"}


def _floor(viewers: int, stream: Stream, bursts: int, pause: float) -> float:
    sinks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(viewers)]
    for sink in sinks:
        sink.bind((advertised("", "0.0.0.0")[0], 0))
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    policy = Policy(
        key=os.urandom(28),
        ssrc_type=Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    )
    policy.allow_repeat_tx = True
    sessions = [SrtpSession(policy) for _ in range(viewers)]
    targets = [(one._srtp[0], sink.getsockname()) for one, sink in zip(sessions, sinks, strict=True)]
    extra = 0 if stream.source == "microphone" else 8  # the time of sending
    size, count = 12 + extra + stream.size, stream.packets
    stride = size + 16
    buffer = ffi.new("unsigned char[]", stride * count)
    view = memoryview(ffi.buffer(buffer))
    for n in range(count):
        struct.pack_into("!BBHLL", view, n * stride, 0x80, 96, 0, 0, 7)
    places = [buffer + n * stride for n in range(count)]
    length = ffi.new("int *")
    ancillary = [(socket.IPPROTO_UDP, 103, struct.pack("H", stride))] if count > 1 else []
    protect, sendmsg, whole = lib.srtp_protect, out.sendmsg, [view]
    began = _own_cpu()
    for burst in range(bursts):
        if pause:
            time.sleep(pause)
        for context, address in targets:
            sequence = burst * count
            for n, place in enumerate(places):
                struct.pack_into("!H", view, n * stride + 2, sequence + n)
                length[0] = size
                protect(context, place, length)
            sendmsg(whole, ancillary, 0, address)
    spent = _own_cpu() - began
    for one in (*sinks, out):
        one.close()
    return spent / (bursts * viewers * count) * 1e6


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    with_a_workers_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("viewers", nargs="*", type=int, default=[100, 300, 500])
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in PROGRAMMES:
        for viewers in asked.viewers:
            row = asyncio.run(measure(viewers, asked.seconds, name))
            if not rows:
                print("".join(f"{one:>14}" for one in row))
            shown = [f"{one:.2f}" if isinstance(one, float) else one for one in row.values()]
            print("".join(f"{one:>14}" for one in shown), flush=True)
            rows.append(row)
            keep("forwarding", rows)


if __name__ == "__main__":
    main()
