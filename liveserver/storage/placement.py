"""Which media worker holds which class, agreed on in Redis by every web process of every host."""

from collections.abc import Sequence

import redis.asyncio
import redis.exceptions

from liveserver.errors import MediaUnavailable

_SECONDS_KEPT = 86_400  # longer than any class
# KEYS[1] the class's place; ARGV: the worker it is taken from ('' for none), the one it goes to, seconds.
_PLACE = """
local held = redis.call('GET', KEYS[1])
if not held or held == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    return ARGV[2]
end
return held
"""


class Placement:
    """A class stays where it was placed first; it is moved only from where the mover believes it to be."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._place = client.register_script(_PLACE)

    async def place(self, room: str, worker: str, *, instead_of: str | None = None) -> str:
        """Give a class to a worker; return which has it: that one, or the one somebody else gave it to.

        Raises MediaUnavailable while Redis is away.
        """
        try:
            held = await self._place(
                keys=[_key(room)], args=["" if instead_of is None else instead_of, worker, _SECONDS_KEPT]
            )
        except (redis.exceptions.RedisError, OSError) as error:
            raise MediaUnavailable(retryAfter=2) from error
        return str(held)

    async def held(self, rooms: Sequence[str]) -> list[str | None]:
        """Return which worker has each class, None for one that has no place. Raises MediaUnavailable."""
        if not rooms:
            return []
        try:
            found = await self._redis.mget([_key(room) for room in rooms])
        except (redis.exceptions.RedisError, OSError) as error:
            raise MediaUnavailable(retryAfter=2) from error
        return [None if one is None else str(one) for one in found]


def _key(room: str) -> str:
    return f"room:{room}:worker"
