"""Noticing a media worker that hangs: it is there, and answers nobody."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from media.control import WorkerClient, WorkerGone

_SECONDS_BETWEEN_BEATS = 1.0
_SECONDS_TO_ANSWER = 1.5
_MISSED = 3  # beats in a row, before it is said to hang


async def watch(control: Path, hangs: Callable[[], None]) -> None:
    """Ask the worker at a control socket how it is, until cancelled; call `hangs` when it does not say."""
    client = WorkerClient(str(control), lambda _name, _facts: None, lambda: None)
    connecting = asyncio.create_task(client.run(), name="pulse")
    missed = 0
    try:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_BEATS)
            if not client.connected:  # it starts, or has died and is started again anyway
                missed = 0
                continue
            try:
                async with asyncio.timeout(_SECONDS_TO_ANSWER):
                    await client.stats()
                missed = 0
            except (WorkerGone, TimeoutError):
                missed += 1
            if missed >= _MISSED:
                hangs()
                missed = 0
    finally:
        connecting.cancel()
