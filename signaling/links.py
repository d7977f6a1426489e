"""The connections below the sockets: when each was last heard of, and which must not stay.

engine.io knows only that a ping was answered in time; grace and attendance count from the last packet heard,
so every packet is noted here. A connection that never gets in, or does not read what it is sent, is closed.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

_SECONDS_TO_ENTER = 10.0
_MOST_REFUSED = 3
_MOST_WAITING = 1000  # packets the peer has not read


@dataclass(slots=True, eq=False)
class Link:
    """One engine.io connection; `entered` once a namespace has let it in."""

    socket: Any
    made_at: float = field(default_factory=time.monotonic)
    heard_at: float = field(default_factory=time.monotonic)
    entered: bool = False
    refused: int = 0

    def is_unwanted(self, now: float) -> bool:
        if self.socket.queue.qsize() > _MOST_WAITING:
            return True
        return not self.entered and (self.refused >= _MOST_REFUSED or now - self.made_at > _SECONDS_TO_ENTER)

    async def close(self, reason: str) -> None:
        """Close at once, without waiting for a peer that may be gone."""
        await self.socket.close(wait=False, abort=True, reason=reason)
        self.socket.queue.put_nowait(None)  # lets engine.io's writer, and with it the connection, end


class Links:
    """Every connection of this process."""

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._by_eio_sid: dict[str, Link] = {}

    def open(self, eio_sid: str, socket: Any) -> None:
        """Note a new connection; from now on each of its packets is."""
        link = Link(socket)
        receive: Callable[[Any], Awaitable[None]] = socket.receive

        async def noted(packet: Any) -> None:
            link.heard_at = time.monotonic()
            await receive(packet)

        socket.receive = noted
        self._by_eio_sid[eio_sid] = link

    def get(self, eio_sid: str | None) -> Link | None:
        return self._by_eio_sid.get(eio_sid) if eio_sid is not None else None

    def forget(self, eio_sid: str) -> None:
        self._by_eio_sid.pop(eio_sid, None)

    async def sweep(self, now: float) -> None:
        """Close what is silent, what does not read, and what came but never in; once a second."""
        for link in list(self._by_eio_sid.values()):
            if now - link.heard_at > self._timeout:
                await link.close("ping timeout")
            elif link.is_unwanted(now):
                await link.close("transport error")
