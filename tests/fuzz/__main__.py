"""Feeding the parsers what they were not made for, guided by which lines it reaches (atheris, libFuzzer).

    python -m tests.fuzz [seconds] [target ...]         `make fuzz`; 60 s each by default

A fault is anything raised, or an input that takes above 50 ms three times in a row. What was reached new is
added to `.cache/fuzz`; what was found at fault is kept there, as `<target>-crash-...`. The inputs kept in
`corpus` are run by `make test` as well.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.product import ROOT

CORPUS = Path(__file__).parent / "corpus"
_FOUND = ROOT / ".cache" / "fuzz"
_LONGEST = 0.05
_LONGEST_INPUT = {"description": 32 * 1024, "forwarding": 4096, "tcp_stream": 4096}


class TooSlow(Exception):
    """An input took longer than a packet may."""


def run(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris  # noqa: PLC0415 - `make fuzz` alone installs it

    with atheris.instrument_imports(include=["media"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - after the hook that counts its lines

    target = TARGETS[name]

    def one(data: bytes) -> None:
        for _ in range(3):
            began = time.perf_counter()
            target(data)
            if time.perf_counter() - began < _LONGEST:
                return
        raise TooSlow

    grown = _FOUND / name
    grown.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            str(grown),
            str(CORPUS / name),
            f"-max_total_time={seconds}",
            f"-max_len={_LONGEST_INPUT.get(name, 1500)}",
            f"-artifact_prefix={_FOUND / name}-",
            "-print_final_stats=1",
            "-verbosity=0",
        ],
        one,
    )
    atheris.Fuzz()


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        run(sys.argv[2], int(sys.argv[3]))
        return 0
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - not before the hook, in the process above

    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    inputs, faults = 0, []
    for name in sys.argv[2:] or TARGETS:
        command = [sys.executable, "-m", "tests.fuzz", "--one", name, str(seconds)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
        told = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        count = int(told[0].split()[-1]) if told else 0
        inputs += count
        print(f"{name:>16} {count:>12} inputs {'' if done.returncode == 0 else 'FAULT'}", flush=True)
        if done.returncode != 0:
            faults.append(name)
            print(done.stderr[-4000:])
    print(json.dumps({"inputs": inputs, "faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
