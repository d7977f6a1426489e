"""Taking a host out of service: it is given no new classes, and is empty once those it has are over."""

import asyncio
import contextlib
from collections.abc import Callable

from liveserver.config import Running, Settings
from liveserver.storage.hosts import HostRegistry
from liveserver.storage.redis_client import connect
from media.control import WorkerClient, WorkerGone

_SECONDS_BETWEEN_LOOKS = 2.0


async def drain(settings: Settings, running: Running, *, off: bool) -> None:
    client = connect(running.redis_url, 2)
    try:
        await HostRegistry(client).drain(settings.host_name(), draining=not off)
    finally:
        await client.aclose()


async def until_empty(running: Running, tell: Callable[[int], None]) -> None:
    """Wait until nobody watches or sends at any media worker of this host; tell how many do."""
    workers = [
        WorkerClient(str(running.control_socket(n)), lambda _name, _facts: None, lambda: None)
        for n in range(running.workers)
    ]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        before = 0
        while people := sum([await _people(worker) for worker in workers]):
            if people != before:
                tell(people)
            before = people
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        for task in tasks:
            task.cancel()


async def _people(worker: WorkerClient) -> int:
    """Return how many watch or send at a worker; one that is started anew has forgotten everybody."""
    while True:
        with contextlib.suppress(WorkerGone):
            await worker.ready(10)
            people: int = (await worker.stats())["participants"]
            return people
