"""Work that waits its turn: pgqueuer's tables in our PostgreSQL.

A job is enqueued in the transaction of the deed that asks for it, so it exists if and only if the deed does.
Delivery is at least once: every handler may run again and must then change nothing.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, cast

import asyncpg
import structlog
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from liveserver.storage.postgres import Connection

_ATTEMPTS = 8  # a second, two, four ... apart
Payload = dict[str, Any]
JobHandler = Callable[[Payload], Awaitable[None]]
_log = structlog.get_logger()


async def install(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make or bring up to date pgqueuer's own tables; part of migrating."""
    queries = Queries(AsyncpgDriver(conn))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()


async def enqueue(conn: Connection, kind: str, payload: Payload, *, after: timedelta | None = None) -> None:
    """Ask for a job; it runs `after` the transaction has committed and that much time has passed."""
    queries = Queries(AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", conn)))
    await queries.enqueue(kind, json.dumps(payload, default=str).encode(), execute_after=after)


class Worker:
    """Runs jobs of every kind it has a handler for, on a connection of its own, until cancelled.

    A job that failed for the last time is handed to what `gave_up` has for its kind.
    """

    def __init__(
        self,
        url: str,
        handlers: Mapping[str, JobHandler],
        *,
        gave_up: Mapping[str, JobHandler],
        limits: Mapping[str, int],
    ) -> None:
        self._url = url
        self._handlers = handlers
        self._gave_up = gave_up
        self._limits = limits

    async def run(self) -> None:
        while True:
            try:
                conn = await asyncpg.connect(
                    self._url, server_settings={"application_name": "liveserver-jobs", "timezone": "UTC"}
                )
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(1)
                continue
            try:
                await self._work(conn)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ExceptionGroup) as error:
                _log.warning("jobs.connection_lost", why=type(error).__name__)
            finally:
                conn.terminate()
            await asyncio.sleep(1)

    async def _work(self, conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        queue = PgQueuer.from_asyncpg_connection(conn)
        for kind, handler in self._handlers.items():
            queue.entrypoint(
                kind,
                concurrency_limit=self._limits.get(kind, 0),
                executor_factory=lambda given: DatabaseRetryEntrypointExecutor(given, max_attempts=_ATTEMPTS),
            )(_entry(kind, handler, self._gave_up.get(kind)))
        await queue.run(dequeue_timeout=timedelta(seconds=2), batch_size=10)


def _entry(kind: str, handler: JobHandler, gave_up: JobHandler | None) -> Callable[[Job], Awaitable[None]]:
    async def run(job: Job) -> None:
        payload = json.loads(job.payload or b"{}")
        try:
            await handler(payload)
        except Exception:
            _log.exception("job.failed", kind=kind, job=str(job.id), attempt=job.attempts)
            if gave_up is not None and job.attempts >= _ATTEMPTS:
                await gave_up(payload)
            raise

    return run
