"""The connection to PostgreSQL: a pool and transactions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from liveserver.errors import DatabaseUnavailable, Refusal

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.pool.PoolConnectionProxy

# A school that joins at once queues here for a moment; a database that hangs is told apart by this.
_SECONDS_TO_ACQUIRE = 3


_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
)


class Database:
    """A pool of connections. Closed by the composition root that opened it."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, size: int) -> "Database":
        pool = await asyncpg.create_pool(
            url,
            min_size=2,
            max_size=size,
            command_timeout=10,
            server_settings={
                "application_name": "liveserver",
                "timezone": "UTC",
                "statement_timeout": "3000",
                "lock_timeout": "2000",
                "idle_in_transaction_session_timeout": "10000",
            },
            reset=_nothing,
        )
        return cls(pool)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises DatabaseUnavailable when none is to be had in time."""
        try:
            conn = await self._pool.acquire(timeout=_SECONDS_TO_ACQUIRE)
        except (asyncpg.InterfaceError, *_AWAY) as error:
            raise DatabaseUnavailable(retryAfter=2) from error
        try:
            yield conn
        except Refusal:
            raise
        except Exception as error:
            # asyncpg tells of a connection cut under it in many ways; a mistake of ours leaves it open.
            if isinstance(error, _AWAY) or conn.is_closed():
                raise DatabaseUnavailable(retryAfter=2) from error
            raise
        finally:
            await self._pool.release(conn)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside one transaction: all of the block, or nothing."""
        async with self.connection() as conn, conn.transaction():
            yield conn

    async def ping(self) -> None:
        async with self.connection() as conn:
            await conn.fetchval("SELECT 1")


async def _nothing(_conn: object) -> None:
    """Skip the pool's reset query: no statement here leaves session state behind.

    Session advisory locks and LISTEN would; they live on connections of their own.
    """
