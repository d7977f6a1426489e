"""What happened, told to every web process: Redis pub/sub.

A message lost is a delay, never a wrong: the reconciler on PostgreSQL finds the same facts.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog

_CHANNEL = "liveserver:bus"
_log = structlog.get_logger()

Happening = dict[str, Any]


class Bus:
    """Publishes happenings, and hands those of all processes to the listeners of this one."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._listeners: list[Callable[[Happening], None]] = []

    def listen(self, listener: Callable[[Happening], None]) -> None:
        self._listeners.append(listener)

    async def publish(self, kind: str, **facts: Any) -> None:
        """Tell every process, this one too. Never raises: the deed is done already."""
        happening = {"kind": kind, **facts}
        try:
            await self._redis.publish(_CHANNEL, json.dumps(happening, default=str))
        except (redis.exceptions.RedisError, OSError):
            _log.warning("bus.publish_failed", kind=kind)
            self._hand_out(happening)

    async def run(self) -> None:
        """Receive until cancelled; a lost connection is made again within two seconds."""
        while True:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(_CHANNEL)
                    while True:
                        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
                        if message is not None:
                            self._receive(message["data"])
            await asyncio.sleep(1)

    def _receive(self, data: str) -> None:
        """Hand out one message; the store may be shared, and others may write what they like."""
        try:
            happening = json.loads(data)
            happening["kind"]
        except (ValueError, KeyError, TypeError):
            _log.warning("bus.malformed")
            return
        self._hand_out(happening)

    def _hand_out(self, happening: Happening) -> None:
        for listener in self._listeners:
            listener(happening)
