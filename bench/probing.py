"""Hundreds listen, and pictures begin: whether they fit is to be found out on every link at once.

How long until everybody has camera and screen at their best; and the voice to twelve of them, before and
meanwhile: a worker that fills hundreds of links has no time for anything else.

    python -m bench.probing [--viewers 300]
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiortc.rtcdtlstransport import RTCCertificate

from bench.lecture import PROGRAMMES, Watched, Workers, publish, watch, workers
from bench.peers import Peer
from bench.report import keep, show

_SAMPLED = 12
_SECONDS_BEFORE, _MOST_SECONDS = 5, 40
_LOOK, _CALM = 0.5, 3.0  # seconds between two looks, and of looks at which all have the best
_SECONDS_BETWEEN_CHECKS = 5.0  # of one viewer, as browsers make them


async def measure(viewers: int) -> dict[str, Any]:
    programme = PROGRAMMES["class"]
    best = sum(one.frames * one.packets for one in programme if one.watched) * viewers
    async with workers() as running:
        client, certificate = running.first, RTCCertificate.generateCertificate()
        sender = await publish(client, programme)
        sender.silent |= {"camera", "screen"}
        sending = asyncio.create_task(sender.run())
        watching = [await watch(client, certificate, n) for n in range(viewers)]
        staying = asyncio.create_task(_stay(watching))
        sampled = [watching[n * viewers // _SAMPLED] for n in range(_SAMPLED)]
        before = [Watched(one, sender) for one in sampled]
        await asyncio.sleep(_SECONDS_BEFORE)
        for one in before:
            one.stop()
        meanwhile = [Watched(one, sender) for one in sampled]
        began, counts = time.perf_counter(), await running.stats()
        sender.silent.clear()
        reached = await _until_all_have(running, best)
        counts = await running.stats() - counts
        seconds = time.perf_counter() - began
        for one in meanwhile:
            one.stop()
        sending.cancel()
        staying.cancel()
    return {
        "viewers": viewers,
        "until all have the best, s": reached - began,
        "voice before: p99, ms": _voice(before)[0],
        "voice meanwhile: p99, ms": _voice(meanwhile)[0],
        "voice meanwhile: worst, ms": _voice(meanwhile)[1],
        "ticks a second": counts["ticks"] / seconds,
        "late ticks, % of them": 100 * counts["late_ticks"] / counts["ticks"],
    }


async def _stay(watching: Sequence[Peer]) -> None:
    """Let viewers say that they are still there, one after the other."""
    while True:
        for peer in watching:
            peer.check_again()
            await asyncio.sleep(_SECONDS_BETWEEN_CHECKS / len(watching))


async def _until_all_have(running: Workers, best: float) -> float:
    """Return when so many packets a second began to be sent for good, in seconds of perf_counter."""
    began = looked = time.perf_counter()
    was, since = await running.stats(), began
    while looked - since < _CALM:
        await asyncio.sleep(_LOOK)
        now, now_at = await running.stats(), time.perf_counter()
        if (now - was)["sent"] / (now_at - looked) < 0.9 * best:
            since = now_at
        was, looked = now, now_at
        if looked - began > _MOST_SECONDS:
            raise AssertionError(f"not all have the best after {_MOST_SECONDS} s")
    return since


def _voice(viewers: list[Watched]) -> tuple[float, float]:
    """Return p99 and the longest of what voices needed, in milliseconds."""
    delays = sorted(delay for one in viewers for of, delay in one.delays if of == "microphone")
    return 1e3 * delays[len(delays) * 99 // 100], 1e3 * delays[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--viewers", type=int, default=300)
    found = asyncio.run(measure(parser.parse_args().viewers))
    show(found)
    keep("probing", found)


if __name__ == "__main__":
    main()
