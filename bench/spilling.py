"""One class over two media workers, beside the same class over one.

Half of the viewers watch at each; the second has the class over a pipe of decrypted RTP. The CPU of both
processes together per packet sent to a viewer, and the time a packet takes, to viewers of both. One and two
take turns; figures are medians of the turns, and their ratio is what counts. Beside it stands what the
machine takes for two processes by itself, in the same turns: the bare loop of bench/forwarding, paced as a
class is, with all viewers in one process, and with half of them in each of two at the same time.

    python -m bench.spilling [viewers ...] [--seconds 3] [--turns 7]
"""

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from bench.forwarding import floor, least
from bench.lecture import PROGRAMMES, Turn, lecture, with_a_workers_memory
from bench.report import keep, verdict

_CLASS = PROGRAMMES["class"]
_CPU_TARGET, _LATENCY_TARGET = 1.1, 1.3


async def _measure(viewers: int, seconds: float, turns: int) -> tuple[list[float], list[float]]:
    """Return microseconds per packet, those of the bare loop, and the median and 99th percentile of delays in
    milliseconds, of one worker and of two.
    """
    taken: list[list[tuple[Turn, float]]] = [[], []]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        async with lecture(viewers, _CLASS) as one, lecture(viewers, _CLASS, over=2) as two:
            for _ in range(turns):
                for workers, lesson in enumerate((one, two), 1):
                    turn = await lesson.turn(seconds)
                    taken[workers - 1].append((turn, await _bare(pool, viewers, workers)))
    return _figures(taken[0]), _figures(taken[1])


async def _bare(pool: ProcessPoolExecutor, viewers: int, processes: int) -> float:
    """Return the bare loop's microseconds per packet, of viewers shared among processes."""
    share = partial(floor, viewers // processes, _CLASS, paced=True)
    loop = asyncio.get_running_loop()
    costs = await asyncio.gather(*(loop.run_in_executor(pool, share) for _ in range(processes)))
    return statistics.mean(least([cost]) for cost in costs)


def _figures(turns: Sequence[tuple[Turn, float]]) -> list[float]:
    delays = [turn.delays() for turn, _ in turns]
    percentiles = [statistics.median(one[len(one) * n // 100] for one in delays) * 1e3 for n in (50, 99)]
    cost = statistics.median(turn.us_per_packet for turn, _ in turns)
    return [cost, statistics.median(bare for _, bare in turns), *percentiles]


def main() -> None:
    with_a_workers_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("viewers", nargs="*", type=int, default=[300, 600])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--turns", type=int, default=7)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    columns = "viewers", "workers", "us/packet", "bare loop", "p50 ms", "p99 ms"
    print("".join(f"{one:>14}" for one in columns))
    for viewers in asked.viewers:
        one, two = asyncio.run(_measure(viewers, asked.seconds, asked.turns))
        for workers, row in enumerate((one, two), 1):
            print(f"{viewers:>14}{workers:>14}" + "".join(f"{figure:>14.2f}" for figure in row))
        ratios = [after / before for before, after in zip(one, two, strict=True)]
        print(f"{'ratio':>28}" + "".join(f"{ratio:>14.2f}" for ratio in ratios))
        cpu, bare, _, p99 = ratios
        met = verdict(cpu, _CPU_TARGET), verdict(p99, _LATENCY_TARGET)
        print(f"{'target':>28}{_CPU_TARGET:>14}{'':>28}{_LATENCY_TARGET:>14}")
        print(f"{'':>28}{met[0]:>14}{'':>28}{met[1]:>14}", flush=True)
        rows.append({"viewers": viewers, "one": one, "two": two, "cpu": cpu, "bare": bare, "p99": p99})
        keep("spilling", rows)


if __name__ == "__main__":
    main()
