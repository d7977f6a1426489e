"""The clock ticks each 20 ms while there is a class, wakes nobody without need, and says when it was late."""

import asyncio
import time

from media.clock import Clock


class Kept:
    def __init__(self, *, busy: bool) -> None:
        self.busy = busy
        self.at: list[float] = []

    def tick(self, now: float) -> bool:
        self.at.append(now)
        return self.busy

    def longest(self) -> float:
        return max(b - a for a, b in zip(self.at, self.at[1:], strict=False))


async def test_a_class_is_ticked_for_without_packets_too() -> None:
    kept = Kept(busy=True)
    clock = Clock(kept.tick)
    await asyncio.sleep(0.6)
    clock.close()
    assert 10 <= len(kept.at) <= 31
    assert clock.ticks == len(kept.at)


async def test_ticks_ride_on_packets_and_never_come_twice() -> None:
    kept = Kept(busy=True)
    clock = Clock(kept.tick)
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        clock.ride()
        await asyncio.sleep(0.002)
    clock.close()
    assert 20 <= len(kept.at) <= 41
    assert min(b - a for a, b in zip(kept.at, kept.at[1:], strict=False)) >= 0.0149


async def test_without_a_class_it_rests() -> None:
    kept = Kept(busy=False)
    clock = Clock(kept.tick)
    await asyncio.sleep(0.6)
    assert 2 <= len(kept.at) <= 4
    kept.busy = True
    await asyncio.sleep(0.3)
    before = len(kept.at)
    await asyncio.sleep(0.3)
    clock.close()
    assert len(kept.at) - before >= 5


async def test_a_tick_that_comes_late_is_counted() -> None:
    kept = Kept(busy=True)
    clock = Clock(kept.tick)
    await asyncio.sleep(0.1)
    late = clock.late
    time.sleep(0.15)  # noqa: ASYNC251 - a loop that is held up is what is tried
    await asyncio.sleep(0.05)
    assert clock.late >= late + 1
    assert clock.worst >= 0.1
    clock.close()
    ticks = clock.ticks
    clock.ride()
    await asyncio.sleep(0.1)
    assert clock.ticks == ticks, "a clock that was closed stands still"
