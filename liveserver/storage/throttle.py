"""Counting deeds in a window, in Redis; in this process at a third of the limit when Redis is away."""

import contextlib
import hashlib

import redis.asyncio
import redis.exceptions
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from liveserver.errors import SeatsUnavailable

_SCRIPT = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {n, redis.call('TTL', KEYS[1])}
"""

_TAKE_BACK = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECR', KEYS[1]) end"


class Throttle:
    """Names a counter by what it counts; the parts of a name are hashed, so an e-mail is not kept."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._count = client.register_script(_SCRIPT)
        self._uncount = client.register_script(_TAKE_BACK)
        self._local = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, *parts: str, limit: int, minutes: int) -> int:
        """Count one deed; return 0, or the seconds until the next is allowed."""
        key = _key(parts)
        try:
            count, ttl = await self._count(keys=[key], args=[minutes * 60])
        except (redis.exceptions.RedisError, OSError):
            item = RateLimitItemPerMinute(max(1, limit // 3), minutes)
            return 0 if await self._local.hit(item, key) else minutes * 60
        return 0 if int(count) <= limit else max(1, int(ttl))

    async def take_back(self, *parts: str) -> None:
        """Uncount one deed that turned out not to be one."""
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await self._uncount(keys=[_key(parts)])

    async def claim(self, name: str, seconds: int) -> bool:
        """Return True the first time `name` is claimed; used for what may happen once (a ticket)."""
        try:
            return bool(await self._redis.set(f"once:{name}", "1", nx=True, ex=seconds))
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error


def _key(parts: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\x00".join(parts[1:]).encode()).hexdigest()[:32]
    return f"throttle:{parts[0]}:{digest}"
