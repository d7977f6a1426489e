"""How figures are shown and kept: each beside its target, and whether it is met."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RESULTS = Path(__file__).parent / "results"
_TARGET = re.compile(r"\(target ([<>]=) ([\d.]+)\)")


def verdict(figure: float, target: float, *, at_least: bool = False) -> str:
    """Say whether a figure is at most its target, or `at_least`."""
    return "ok" if (figure >= target if at_least else figure <= target) else "MISSED"


def show(found: Mapping[str, float], width: int = 68) -> None:
    """Print figures by their names, of which some tell a target: `freezes, % (target <= 2)`."""
    for name, figure in found.items():
        target = _TARGET.search(name)
        assert target or not {"<=", ">="} & set(name.split()), f"a target that is not read: {name}"
        met = verdict(figure, float(target[2]), at_least=target[1] == ">=") if target else ""
        print(f"    {name:<{width}}{figure:>10.2f}  {met}".rstrip(), flush=True)


def kept(name: str) -> Any:
    """Return what a command wrote down when it last ran here, or nothing."""
    path = _RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def keep(name: str, found: object) -> None:
    """Write down what a command found."""
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
