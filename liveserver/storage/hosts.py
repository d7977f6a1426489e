"""Which hosts there are, in Redis: each says every few seconds that it lives."""

import json
from typing import Any

import redis.asyncio
import redis.exceptions

from liveserver.errors import MediaUnavailable
from liveserver.models.hosts import Host

SECONDS_BELIEVED = 7  # without a sign of life
_NAMES = "hosts"


class HostRegistry:
    """Every method raises MediaUnavailable while Redis is away."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client

    async def beat(self, host: Host) -> None:
        """Say that a host lives."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(
                    _key(host.name),
                    json.dumps({"is_alone": host.is_alone, "workers": host.workers}),
                    ex=SECONDS_BELIEVED,
                )
                pipe.sadd(_NAMES, host.name)
                await pipe.execute()
        except (redis.exceptions.RedisError, OSError) as error:
            raise MediaUnavailable(retryAfter=2) from error

    async def living(self) -> list[Host]:
        """Return every host that said so lately, by name."""
        try:
            names = sorted(map(str, await self._redis.smembers(_NAMES)))
            if not names:
                return []
            said = await self._redis.mget([*map(_key, names)])
            drains = await self._redis.mget([*map(_drain_key, names)])
            gone = [name for name, text in zip(names, said, strict=True) if text is None]
            if gone:
                await self._redis.srem(_NAMES, *gone)  # one that lives is back with its next sign
        except (redis.exceptions.RedisError, OSError) as error:
            raise MediaUnavailable(retryAfter=2) from error
        return [
            _host(name, json.loads(text), draining=drain is not None)
            for name, text, drain in zip(names, said, drains, strict=True)
            if text is not None
        ]

    async def drain(self, name: str, *, draining: bool) -> None:
        """Give a host no new classes, or again; it is remembered when the host starts anew."""
        try:
            if draining:
                await self._redis.set(_drain_key(name), 1)
            else:
                await self._redis.delete(_drain_key(name))
        except (redis.exceptions.RedisError, OSError) as error:
            raise MediaUnavailable(retryAfter=2) from error


def _host(name: str, said: dict[str, Any], *, draining: bool) -> Host:
    return Host(name=name, is_alone=said["is_alone"], workers=tuple(said["workers"]), draining=draining)


def _key(name: str) -> str:
    return f"host:{name}"


def _drain_key(name: str) -> str:
    return f"host:{name}:draining"
