"""What forwarding one packet costs a media worker, beside the least it could cost in Python.

A worker process with N viewers that really shook hands forwards one 1.2 Mb/s video. In the same run, the
floor: a bare loop with the same packet sizes, keys and bursts that protects in place with libsrtp and sends
with segment offload, the least of five runs. Figures are CPU, not wall, and their ratio is what counts.

    python -m bench.forwarding [viewers] [seconds]
"""

import asyncio
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from aiortc.rtcdtlstransport import RTCCertificate
from pylibsrtp import Policy
from pylibsrtp import Session as SrtpSession
from pylibsrtp._binding import ffi, lib

from bench.peers import Peer
from media.control import WorkerClient
from media.worker import advertised

PACKETS, PAYLOAD, FRAMES = 5, 988, 30  # 5 packets of 1000 bytes, 30 times a second: 1.2 Mb/s
RESULTS = Path(__file__).parent / "results"
_WORKER = """
import sys
from pathlib import Path
from media.worker import WorkerSettings, main
control, address = Path(sys.argv[1]), sys.argv[2]
main(WorkerSettings(index=0, host="", udp_port=0, tcp_port=0, public_address=address, control=control))
"""


async def measure(viewers: int, seconds: float) -> dict[str, float]:
    """Return CPU microseconds per forwarded packet and KiB per viewer of a real worker."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        control = str(Path(folder) / "c.sock")
        address = advertised("", "0.0.0.0")[0]
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, control, address], stderr=subprocess.DEVNULL
        )
        client = WorkerClient(control, lambda _name, _facts: None, lambda: None)
        talking = asyncio.create_task(client.run())
        try:
            await client.ready(20)
            return await _measure(client, psutil.Process(process.pid), viewers, seconds)
        finally:
            talking.cancel()
            process.terminate()
            process.wait(10)


async def _measure(
    client: WorkerClient, worker: psutil.Process, viewers: int, seconds: float
) -> dict[str, float]:
    certificate = RTCCertificate.generateCertificate()
    publisher = Peer(certificate)
    await client.attach("r", "teacher", staff=True, device="d", fence=1)
    video = (
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n"
        "a=ssrc:7 cname:c\r\n"
    )
    answer = await client.publish("r", "teacher", publisher.description(video), {"0": "camera"})
    await publisher.connect(answer["sdp"])
    before = worker.memory_info().rss
    keep = []
    for n in range(viewers):
        viewer = Peer(certificate)
        await client.attach("r", f"s{n}", staff=False, device="d", fence=1)
        offer = await client.subscribe("r", f"s{n}", restart=False)
        plain = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n"
        await client.answer("r", f"s{n}", viewer.description(plain))
        await viewer.connect(offer["sdp"])
        keep.append(viewer)
    memory = (worker.memory_info().rss - before) / viewers / 1024
    send = _sender(publisher)
    await send(1.0)
    sent, cpu = (await client.stats())["sent"], _cpu(worker)
    await send(seconds)
    sent, cpu = (await client.stats())["sent"] - sent, _cpu(worker) - cpu
    assert sent > 0.95 * viewers * PACKETS * FRAMES * seconds, "the worker kept up"
    return {"us_per_packet": cpu / sent * 1e6, "packets": sent, "kib_per_viewer": memory}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _sender(publisher: Peer) -> Any:
    """A function that sends the video for so many seconds."""
    protect = publisher.dtls._tx_srtp.protect
    sequence = frame = 0

    async def send(seconds: float) -> None:
        nonlocal sequence, frame
        began = time.perf_counter()
        count = int(seconds * FRAMES)
        for n in range(count):
            for part in range(PACKETS):
                sequence = (sequence + 1) & 0xFFFF
                # The first packet begins a key picture (RFC 7741), so nothing waits for one.
                head = b"\x10\x00" if part == 0 else b"\x00\x01"
                marker = 0x80 if part == PACKETS - 1 else 0
                packet = struct.pack("!BBHLL", 0x80, marker | 96, sequence, frame * 3000, 7)
                publisher.socket.send(protect(packet + head + os.urandom(PAYLOAD - 2)))
            frame += 1
            await asyncio.sleep(max(0, began + (n + 1) / FRAMES - time.perf_counter()))

    return send


def floor(viewers: int, bursts: int = 60) -> float:
    """Return the CPU microseconds per packet of the bare loop, the least of five runs."""
    return min(_floor(viewers, bursts) for _ in range(5))


def _floor(viewers: int, bursts: int) -> float:
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
    size, stride = 12 + PAYLOAD, 12 + PAYLOAD + 16
    buffer = ffi.new("unsigned char[]", stride * PACKETS)
    view = memoryview(ffi.buffer(buffer))
    for n in range(PACKETS):
        struct.pack_into("!BBHLL", view, n * stride, 0x80, 96, 0, 0, 7)
    places = [buffer + n * stride for n in range(PACKETS)]
    length = ffi.new("int *")
    ancillary = [(socket.IPPROTO_UDP, 103, struct.pack("H", stride))]
    protect, sendmsg, whole = lib.srtp_protect, out.sendmsg, [view]
    began = _own_cpu()
    for burst in range(bursts):
        for context, address in targets:
            sequence = burst * PACKETS
            for n, place in enumerate(places):
                struct.pack_into("!H", view, n * stride + 2, sequence + n)
                length[0] = size
                protect(context, place, length)
            sendmsg(whole, ancillary, 0, address)
    spent = _own_cpu() - began
    for one in (*sinks, out):
        one.close()
    return spent / (bursts * viewers * PACKETS) * 1e6


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    viewers = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    least = floor(viewers)
    found = asyncio.run(measure(viewers, seconds))
    least = min(least, floor(viewers))
    ratio = found["us_per_packet"] / least
    print(f"{'viewers':>24} {viewers:>10}")
    print(f"{'packets forwarded':>24} {found['packets']:>10.0f}")
    print(f"{'worker, us CPU/packet':>24} {found['us_per_packet']:>10.2f}")
    print(f"{'floor, us CPU/packet':>24} {least:>10.2f}")
    print(f"{'ratio (target <= 3)':>24} {ratio:>10.2f}")
    print(f"{'KiB per viewer':>24} {found['kib_per_viewer']:>10.0f}")
    RESULTS.mkdir(exist_ok=True)
    result = {"viewers": viewers, **found, "floor_us_per_packet": least, "ratio": ratio}
    (RESULTS / "forwarding.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
