"""The seat script against its model, and against mutants of itself that the model must notice."""

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.liveserver.seat_model import SeatMachine, script, with_clock
from tests.liveserver.seat_mutants import MUTANTS, Mutant

_ROUNDS, _EXAMPLES = 12, 60


def _run(client: redis.Redis, source: str, examples: int, *, seeded: int | None = None) -> None:
    client.function_load(with_clock(source), replace=True)
    machine = type("Machine", (SeatMachine,), {"client": client})
    if seeded is not None:
        seed(seeded)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            database=None,
            phases=list(Phase) if seeded is None else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_script_does_what_the_model_does(valkey: redis.Redis) -> None:
    _run(valkey, script(), 300)
    assert not valkey.keys("seat:*"), "every example ran to its end and was folded"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_model_notices_a_broken_script(valkey: redis.Redis, mutant: Mutant) -> None:
    source = script()
    assert source.count(mutant.before) == 1, "the mutant's place is gone or doubled"
    with pytest.raises((AssertionError, redis.ResponseError)):
        _search(valkey, source.replace(mutant.before, mutant.after), mutant.first)
    valkey.flushall()


def _search(client: redis.Redis, source: str, first: int) -> None:
    """Many short searches find more than a long one: each goes its own way."""
    for number in range(_ROUNDS):
        _run(client, source, _EXAMPLES, seeded=first + number)
