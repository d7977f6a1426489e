"""Hundreds listen, and pictures begin: whether they fit is to be found out on every link at once.

How long until everybody has camera and screen at their best; and the voice to twelve of them, before and
meanwhile: a worker that fills hundreds of links has no time for anything else.

    python -m bench.probing [--viewers 300]
"""

import argparse
import asyncio
import json
from typing import Any

from aiortc.rtcdtlstransport import RTCCertificate

from bench.lecture import PROGRAMMES, RESULTS, Watched, publish, watch, workers

_SAMPLED = 12
_SECONDS_BEFORE, _SECONDS = 5, 20
_STEP = 0.5  # seconds between two looks at what is sent
_LOOKS_AT_CHECKS = 10  # looks between two consents


async def measure(viewers: int) -> dict[str, Any]:
    programme = PROGRAMMES["class"]
    best = sum(one.frames * one.packets for one in programme if one.watched) * viewers * _STEP
    async with workers() as running:
        client, certificate = running.first, RTCCertificate.generateCertificate()
        sender = await publish(client, programme)
        sender.silent |= {"camera", "screen"}
        sending = asyncio.create_task(sender.run())
        watching = [await watch(client, certificate, n) for n in range(viewers)]
        sampled = range(0, viewers, max(1, viewers // _SAMPLED))
        before = [Watched(watching[n], sender) for n in sampled]
        await asyncio.sleep(_SECONDS_BEFORE)
        for one in before:
            one.stop()
        meanwhile = [Watched(watching[n], sender) for n in sampled]
        began = await running.stats()
        sender.silent.clear()
        was, poorer = began, 0
        for look in range(int(_SECONDS / _STEP)):
            if look % _LOOKS_AT_CHECKS == 0:
                for peer in watching:
                    peer.check_again()
            await asyncio.sleep(_STEP)
            now = await running.stats()
            if (now - was)["sent"] < 0.9 * best:
                poorer = look + 1
            was = now
        for one in meanwhile:
            one.stop()
        sending.cancel()
    counts = was - began
    return {
        "viewers": viewers,
        "until all have the best, s": poorer * _STEP,
        "voice before: p99, ms": _voice(before)[0],
        "voice meanwhile: p99, ms": _voice(meanwhile)[0],
        "voice meanwhile: worst, ms": _voice(meanwhile)[1],
        "ticks a second": counts["ticks"] / _SECONDS,
        "late ticks": counts["late_ticks"],
    }


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
    for figure, value in found.items():
        print(f"{figure:<36}{value:>10.1f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "probing.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
