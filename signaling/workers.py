"""The media workers there are: this host's, and those of the hosts that serve the same platform."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from liveserver.errors import MediaUnavailable, Unavailable
from liveserver.models.hosts import Host
from media.control import WorkerClient, WorkerGone, WorkerRefused

SECONDS_TO_REVIVE = 3.0  # a worker has to come back, before its classes go to others
_SECONDS_BETWEEN_BEATS = 2.0
_SECONDS_TO_TELL = 1.0  # how loaded a worker is
_SECONDS_UNSEEN = 4.0  # of a host nobody hears of any more; one that Redis forgot is back before
_log = structlog.get_logger()
_T = TypeVar("_T")


class Registry(Protocol):
    """Where hosts learn of each other. Raises MediaUnavailable."""

    async def beat(self, host: Host) -> None: ...
    async def living(self) -> list[Host]: ...


class Workers:
    """A worker's name is the same on every host. Each host watches its own workers, and judges them while it
    lives; `run` keeps us connected to all of them.
    """

    def __init__(self, ours: Mapping[str, str], host: Host, registry: Registry, secret: bytes = b"") -> None:
        self._host = host
        self._registry = registry
        self._secret = secret
        self._said: Callable[[str, dict[str, Any]], None] = lambda _name, _facts: None
        self._lost: Callable[[str], None] = lambda _name: None
        self.ours = {name: self._client(name, path) for name, path in ours.items()}
        self._theirs: dict[str, WorkerClient] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._drained: set[str] = set()  # the names of workers that are given nothing new
        self._living: set[str] = set(ours)
        self._answered_at = dict.fromkeys(ours, 0.0)
        self._seen_at: dict[str, float] = {}  # when workers of other hosts were last said to live
        self.draining = False

    def listen(self, said: Callable[[str, dict[str, Any]], None], lost: Callable[[str], None]) -> None:
        """Name who is told what workers say, and the name of one whose connection broke."""
        self._said, self._lost = said, lost

    def _client(self, name: str, address: str) -> WorkerClient:
        return WorkerClient(
            address,
            self._hear,
            partial(self._lose, name),
            self._secret,
        )

    def _hear(self, event: str, facts: dict[str, Any]) -> None:
        self._said(event, facts)

    def _lose(self, name: str) -> None:
        self._lost(name)

    async def run(self) -> None:
        """Keep connected, and say and hear who lives, until cancelled."""
        try:
            for name, worker in self.ours.items():
                self._running[name] = asyncio.create_task(worker.run(), name=f"worker-{name}")
            while True:
                try:
                    await self._registry.beat(replace(self._host, workers=self._answering()))
                    await self.look()
                except Unavailable:
                    self._seen_at = dict.fromkeys(self._seen_at, time.monotonic())  # nobody was heard of
                    _log.warning("hosts.unavailable")
                except Exception:
                    _log.exception("hosts.internal")
                await asyncio.sleep(_SECONDS_BETWEEN_BEATS)
        finally:
            for task in self._running.values():
                task.cancel()

    def _answering(self) -> tuple[str, ...]:
        """Return which of the host's workers other hosts are to count on."""
        if self._host.is_alone:
            return ()
        now = time.monotonic()
        for name, worker in self.ours.items():
            if worker.connected:
                self._answered_at[name] = now
        return tuple(name for name, at in self._answered_at.items() if now - at < SECONDS_TO_REVIVE)

    async def look(self) -> None:
        """Find out which hosts live. Raises MediaUnavailable."""
        hosts = await self._registry.living()
        self.draining = any(host.draining for host in hosts if host.name == self._host.name)
        self._drained = {name for host in hosts if host.draining for name in host.workers}
        self._living = {*self.ours, *(name for host in hosts for name in host.workers)}
        now = time.monotonic()
        for name in self._living - self.ours.keys():
            self._seen_at[name] = now
            if name not in self._theirs:
                self._theirs[name] = worker = self._client(name, name)
                self._running[name] = asyncio.create_task(worker.run(), name=f"worker-{name}")
        for name in [name for name, at in self._seen_at.items() if now - at > _SECONDS_UNSEEN]:
            del self._seen_at[name], self._theirs[name]
            self._running.pop(name).cancel()
            self._lost(name)  # it may hang, and keep its connection
        others = sorted(self._theirs.keys() & self._living - self._drained)
        await asyncio.gather(*(_asked(partial(worker.know, others)) for worker in self.ours.values()))

    async def ready(self, seconds: float) -> None:
        """Wait for our own. Raises WorkerGone."""
        for worker in self.ours.values():
            await worker.ready(seconds)

    @property
    def connected(self) -> bool:
        return all(worker.connected for worker in self.ours.values())

    async def figures(self) -> dict[str, dict[str, float]]:
        """Return what those of our own that answer say of themselves, by name."""
        said = await asyncio.gather(*(_asked(worker.stats) for worker in self.ours.values()))
        return {name: stats for name, stats in zip(self.ours, said, strict=True) if stats is not None}

    async def find(self, name: str) -> WorkerClient | None:
        """Return a worker, None when nobody knows it. Raises MediaUnavailable."""
        if name not in self.ours and name not in self._theirs:
            await self.look()  # of a host that came a moment ago
        return self.ours.get(name) or self._theirs.get(name)

    async def revived(self, name: str, seconds: float) -> bool:
        """Wait for a worker to take calls again; say whether it does. Raises MediaUnavailable."""
        worker = await self.find(name)
        if worker is None:
            return False
        try:
            await worker.ready(seconds)
        except WorkerGone:
            return False
        return True

    async def may_be_given_up(self, name: str) -> bool:
        """Say whether a worker we do not reach is ours to judge: not while its own host lives, which may well
        reach it. Raises MediaUnavailable.
        """
        await self.look()
        return name in self.ours or name not in self._theirs

    async def least_loaded(self) -> str:
        """Return the worker with the fewest people, the first of equals; one of a host that drains only when
        there is no other. Raises MediaUnavailable.
        """
        load: dict[str, int] = {}

        async def ask(name: str, worker: WorkerClient) -> None:
            stats = await _asked(worker.stats)
            if stats is not None:
                load[name] = stats["participants"] + stats["rooms"]

        known = {**self.ours, **self._theirs}
        await asyncio.gather(*(ask(name, worker) for name, worker in known.items()))
        able: Sequence[str] = [name for name in known if name in load and name not in self._drained]
        able = able or [name for name in known if name in load]
        if not able:
            raise MediaUnavailable(retryAfter=2)
        return min(able, key=lambda name: load[name])


async def _asked(call: Callable[[], Awaitable[_T]]) -> _T | None:
    """Return what a worker answers, None when it does not soon. It is called once somebody waits for it."""
    with contextlib.suppress(WorkerGone, WorkerRefused, TimeoutError):
        async with asyncio.timeout(_SECONDS_TO_TELL):
            return await call()
    return None
