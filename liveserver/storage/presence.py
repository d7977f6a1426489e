"""What people in a class have up besides their seat, and what was said. Lost with Redis, and then empty."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import redis.asyncio
import redis.exceptions

from liveserver.errors import SeatsUnavailable
from liveserver.models.ids import LiveSessionId, UserId

_SECONDS_KEPT = 86_400
_MESSAGES_KEPT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`hand` is when it was raised in Unix milliseconds, 0 when down; `floor` the granted sources."""

    hand: int = 0
    floor: list[str] = field(default_factory=list)


class Presence:
    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client

    async def all_of(self, session_id: LiveSessionId) -> dict[UserId, Standing]:
        try:
            raw: dict[Any, Any] = await self._redis.hgetall(_key(session_id))
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error
        return {UserId(UUID(user)): Standing(**json.loads(text)) for user, text in raw.items()}

    async def get(self, session_id: LiveSessionId, user_id: UserId) -> Standing:
        try:
            raw = await self._redis.hget(_key(session_id), str(user_id))
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error
        return Standing(**json.loads(raw)) if raw else Standing()

    async def put(self, session_id: LiveSessionId, user_id: UserId, standing: Standing) -> None:
        key = _key(session_id)
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(key, str(user_id), json.dumps(asdict(standing)))
                pipe.expire(key, _SECONDS_KEPT)
                await pipe.execute()
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error

    async def add_chat(self, session_id: LiveSessionId, message: dict[str, str]) -> None:
        key = _chat_key(session_id)
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.rpush(key, json.dumps(message))
                pipe.ltrim(key, -_MESSAGES_KEPT, -1)
                pipe.expire(key, _SECONDS_KEPT)
                await pipe.execute()
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error

    async def chat(self, session_id: LiveSessionId) -> list[dict[str, str]]:
        """Return the last messages, oldest first."""
        try:
            raw = await self._redis.lrange(_chat_key(session_id), 0, -1)
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error
        return [json.loads(text) for text in raw]

    async def clear(self, session_id: LiveSessionId, user_id: UserId | None = None) -> None:
        """Forget one person's standing, or with None the session's."""
        try:
            if user_id is None:
                await self._redis.delete(_key(session_id), _chat_key(session_id))
            else:
                await self._redis.hdel(_key(session_id), str(user_id))
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error


def _key(session_id: LiveSessionId) -> str:
    return f"presence:{{ls:{session_id}}}"


def _chat_key(session_id: LiveSessionId) -> str:
    return f"chat:{{ls:{session_id}}}"
