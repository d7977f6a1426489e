"""One class over two media workers, beside the same class over one.

Half of the viewers watch at each; the second has the class over a pipe of decrypted RTP. The CPU of both
processes together per packet sent to a viewer, and the time a packet takes, to viewers of both. One and two
take turns; figures are medians of the turns, and their ratio is what counts.

    python -m bench.spilling [viewers ...] [--seconds 3] [--turns 7]
"""

import argparse
import asyncio
import json
import statistics
from collections.abc import Sequence
from typing import Any

from bench.lecture import PROGRAMMES, RESULTS, Turn, lecture

_CPU_TARGET, _LATENCY_TARGET = 1.1, 1.3


async def _measure(viewers: int, seconds: float, turns: int) -> tuple[list[float], list[float]]:
    """Return microseconds per packet and the median and 99th percentile of delays in milliseconds, of one
    worker and of two.
    """
    programme = PROGRAMMES["class"]
    async with lecture(viewers, programme) as one, lecture(viewers, programme, over=2) as two:
        taken = [(await one.turn(seconds), await two.turn(seconds)) for _ in range(turns)]
    return _figures([turn for turn, _ in taken]), _figures([turn for _, turn in taken])


def _figures(turns: Sequence[Turn]) -> list[float]:
    delays = [turn.delays() for turn in turns]
    percentiles = [statistics.median(one[len(one) * n // 100] for one in delays) * 1e3 for n in (50, 99)]
    return [statistics.median(turn.us_per_packet for turn in turns), *percentiles]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("viewers", nargs="*", type=int, default=[300])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--turns", type=int, default=7)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("".join(f"{one:>14}" for one in ("viewers", "workers", "us/packet", "p50 ms", "p99 ms")))
    for viewers in asked.viewers:
        one, two = asyncio.run(_measure(viewers, asked.seconds, asked.turns))
        for workers, row in enumerate((one, two), 1):
            print(f"{viewers:>14}{workers:>14}" + "".join(f"{figure:>14.2f}" for figure in row))
        cpu, p50, p99 = (after / before for before, after in zip(one, two, strict=True))
        print(f"{'ratio':>28}{cpu:>14.2f}{p50:>14.2f}{p99:>14.2f}")
        print(f"{'target':>28}{_CPU_TARGET:>14}{'':>14}{_LATENCY_TARGET:>14}", flush=True)
        rows.append({"viewers": viewers, "one": one, "two": two, "cpu": cpu, "p99": p99})
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "spilling.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
