"""One class over two media workers, beside the same class over one.

Half of the viewers watch at each; the second has the class over a pipe of decrypted RTP. The CPU of both
processes together per packet sent to a viewer, and the time a packet takes, to viewers of both. One and two
take turns; figures are medians of the runs, and their ratio is what counts.

    python -m bench.spilling [viewers ...] [--seconds 8] [--runs 3]
"""

import argparse
import asyncio
import json
import statistics
from typing import Any

from bench.forwarding import PROGRAMMES, RESULTS, Found, measure

_CPU_TARGET, _LATENCY_TARGET = 1.1, 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("viewers", nargs="*", type=int, default=[300])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("".join(f"{one:>14}" for one in ("viewers", "workers", "us/packet", "p50 ms", "p99 ms")))
    for viewers in asked.viewers:
        found: dict[int, list[Found]] = {1: [], 2: []}
        for _ in range(asked.runs):
            for over, runs in found.items():
                runs.append(asyncio.run(measure(viewers, asked.seconds, PROGRAMMES["class"], over=over)))
        figures = {
            over: [
                statistics.median(getattr(one, name) for one in runs)
                for name in ("us_per_packet", "p50_ms", "p99_ms")
            ]
            for over, runs in found.items()
        }
        for over, row in figures.items():
            print(f"{viewers:>14}{over:>14}" + "".join(f"{one:>14.2f}" for one in row), flush=True)
        cpu, p50, p99 = (two / one for one, two in zip(figures[1], figures[2], strict=True))
        print(f"{'ratio':>28}{cpu:>14.2f}{p50:>14.2f}{p99:>14.2f}")
        print(f"{'target':>28}{_CPU_TARGET:>14}{'':>14}{_LATENCY_TARGET:>14}", flush=True)
        rows.append({"viewers": viewers, "one": figures[1], "two": figures[2], "cpu": cpu, "p99": p99})
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "spilling.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
