"""A large picture to many viewers at once, over a network card that carries less than we can encrypt.

A class whose screen changes as a whole every second: sixty packets for everybody, beside a camera and a
voice. The server and the viewers are in two network namespaces; the server's card carries `--mbit`, about
twice what the class takes on average, and its queue holds 5 MB, as a thousand bursts of a camera. What came
of all that was sent, to twelve viewers, and when; nobody asks for what is missing.

    python -m bench.card [--viewers 200] [--mbit 600] [--seconds 10]

Needs root, for the namespaces; where it is missing it says so.
"""

import argparse
import asyncio
import sys
from typing import Any

from bench.lecture import Stream, lecture
from bench.namespaces import Namespace, again_on_two_hosts
from bench.report import keep, show

PROGRAMME = (
    Stream("0", "camera", "", 24, 5, 1000, watched=True),
    Stream("1", "screen", "", 1, 60, 1000, watched=True),
    Stream("2", "microphone", "", 50, 1, 90, watched=True),
)
_SAMPLED = 12


async def measure(server: Namespace, viewers: int, seconds: float) -> dict[str, Any]:
    async with lecture(viewers, PROGRAMME, server=server) as lesson:
        turn = await lesson.turn(seconds, range(0, viewers, max(1, viewers // _SAMPLED)))
    found: dict[str, Any] = {}
    for stream in PROGRAMME:
        wanted = stream.frames * stream.packets * seconds
        shares = sorted(100 * one.came[stream.source] / wanted for one in turn.viewers)
        delays = turn.delays(stream.source)
        found[f"{stream.source}: came to the median viewer, %"] = shares[len(shares) // 2]
        found[f"{stream.source}: came to the worst, %"] = shares[0]
        found[f"{stream.source}: p50, ms"] = delays[len(delays) // 2] * 1e3
        found[f"{stream.source}: p99, ms"] = delays[len(delays) * 99 // 100] * 1e3
    for what in ("waited", "dropped"):
        share = turn.counts[f"send_{what}"] / turn.counts["sent"]
        found[f"packets that {what}, % of those sent"] = 100 * share
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
        show(found)
        keep("card", found)
        return 0
    return again_on_two_hosts("bench.card", mbit=asked.mbit)


if __name__ == "__main__":
    sys.exit(main())
