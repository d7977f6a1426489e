"""Which quality of what a viewer is sent, out of what their link carries: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

# What a quality takes before anything of it was measured, bits per second.
NOMINAL = {"camera": (120_000, 400_000, 1_200_000), "screen": (100_000, 1_500_000), "microphone": (40_000,)}
_HELD = 0.85  # of its rate is what a quality costs that is sent already


@dataclass(frozen=True, slots=True)
class Demand:
    """One picture somebody wants. `rates` are of its qualities, the poorest first; None is not to be had.

    `most` is the best quality that its size on the page is worth; `most` below zero: it is not to be seen.
    `held` is what is sent now: a rate that wavers must not throw it out.
    """

    mid: str
    rank: int  # the lowest is served first
    rates: Sequence[float | None]
    most: int
    held: int | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """`qualities` by mid, None where nothing fits; `step` is the rate at which one more would be sent
    better, None when everything is as good as it can be.
    """

    qualities: dict[str, int | None]
    rate: float
    step: float | None


def allocate(budget: float, demands: Sequence[Demand], *, tries: bool = True) -> Allocation:
    """Give everybody the poorest quality in order of rank, then the best that fits in the same order.

    With `tries` one picture is sent whatever it takes: with none at all nobody could learn what is carried.
    """
    chosen: dict[str, int | None] = {}
    rate, step = 0.0, None
    by_rank = sorted(demands, key=lambda demand: demand.rank)
    for demand in by_rank:
        options = _options(demand)
        chosen[demand.mid] = None
        if not options:
            continue
        lowest, cost = options[0]
        if rate + cost <= budget or (tries and not rate):
            chosen[demand.mid] = lowest
            rate += cost
        elif step is None:
            step = rate + cost
    for demand in by_rank:
        at = chosen[demand.mid]
        if at is None:
            continue
        costs = dict(_options(demand))
        for quality, cost in _options(demand):
            if quality <= at:
                continue
            better = rate - costs[at] + cost
            if better > budget:
                step = better if step is None else step
                break
            at, rate = quality, better
        chosen[demand.mid] = at
    return Allocation(chosen, rate, step)


def _options(demand: Demand) -> list[tuple[int, float]]:
    """Return the qualities to choose from: those to be had up to `most`, else the poorest above it."""
    if demand.most < 0:
        return []
    there = [(n, rate) for n, rate in enumerate(demand.rates) if rate is not None]
    wanted = [one for one in there if one[0] <= demand.most] or there[:1]
    # A better one that costs less is a sender's lull; it must not make the poorer look dear.
    ascending: list[tuple[int, float]] = []
    for quality, measured in wanted:
        rate = measured * _HELD if quality == demand.held else measured
        ascending.append((quality, max(rate, ascending[-1][1] if ascending else 0.0)))
    return ascending
