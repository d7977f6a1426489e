"""Every input that was kept, once: `make fuzz` looks for new ones."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.targets import TARGETS

_KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", _KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_kept_input_raises_nothing(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_inputs() -> None:
    assert {path.parent.name for path in _KEPT} == set(TARGETS)
