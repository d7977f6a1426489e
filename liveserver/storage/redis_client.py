"""One way to open Redis: a pool that waits instead of refusing, and commands that give up in a second."""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(url: str, size: int) -> redis.asyncio.Redis:
    """Return a client with a bounded pool. redis-py's default pool raises when it is empty."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=size,
        timeout=5,
        decode_responses=True,
        socket_timeout=2,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis(connection_pool=pool)
