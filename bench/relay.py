"""A bad link between a client and a media worker's UDP port: slow, lossy, late, in both directions.

Seeded for each direction, so that two runs lose the same of its packets, as they are counted. Rates are in
bits per second, times in seconds.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

Address = tuple[str, int]


@dataclass(slots=True)
class Link:
    """How one direction is; may be changed while packets pass."""

    rate: float | None = None  # None: as fast as it comes
    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    queue: float = 0.3  # how long a packet may wait for its turn before it is dropped
    every: float = 0.0  # once in so long ...
    held: float = 0.0  # ... nothing comes for so long, and then all at once, as over a busy Wi-Fi


class Relay:
    """Stands at a port of its own for the worker's; each client gets a socket towards the worker."""

    def __init__(self, target: Address, *, down: Link, up: Link, seed: int = 1) -> None:
        self.down, self.up = down, up
        self.dropped = 0
        self.port = 0
        self._target = target
        self._chance = {id(down): random.Random(seed), id(up): random.Random(-seed - 1)}
        self._free_at: dict[int, float] = {}
        self._lines: dict[int, deque[Callable[[], None]]] = {}
        self._front: asyncio.DatagramTransport | None = None
        self._behind: dict[Address, asyncio.Task[asyncio.DatagramTransport]] = {}

    async def open(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        front, _ = await loop.create_datagram_endpoint(lambda: _Side(self._from_client), (host, 0))
        self._front = front
        self.port = front.get_extra_info("sockname")[1]

    def close(self) -> None:
        if self._front is not None:
            self._front.close()
        self.move()

    def waits(self, link: Link) -> float:
        """Return for how long a packet that comes now waits for its turn."""
        return max(0.0, self._free_at.get(id(link), 0.0) - asyncio.get_running_loop().time())

    def move(self) -> None:
        """Come to the worker from other ports from now on, as a phone does that leaves the Wi-Fi."""
        for opening in self._behind.values():
            opening.add_done_callback(lambda opened: opened.result().close())
        self._behind.clear()

    def _from_client(self, data: bytes, client: Address) -> None:
        asyncio.get_running_loop().create_task(self._to_worker(data, client))

    async def _to_worker(self, data: bytes, client: Address) -> None:
        front = self._front
        if front is None or front.is_closing():
            return
        if client not in self._behind:  # of two packets that come at once only the first opens one
            self._behind[client] = asyncio.create_task(self._open_behind(front, client))
        side = await self._behind[client]
        self._pass(self.up, data, lambda: _send(side, data, None))

    async def _open_behind(
        self, front: asyncio.DatagramTransport, client: Address
    ) -> asyncio.DatagramTransport:
        def back(answer: bytes, _worker: Address) -> None:
            self._pass(self.down, answer, lambda: _send(front, answer, client))

        side, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Side(back), local_addr=(self._target[0], 0), remote_addr=self._target
        )
        return side

    def _pass(self, link: Link, data: bytes, send: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        lost, late = (self._chance[id(link)].random() for _ in range(2))
        if lost < link.loss:
            self.dropped += 1
            return
        now = loop.time()
        at = now
        if link.rate is not None:
            begins = max(now, self._free_at.get(id(link), 0.0))
            if begins - now > link.queue:
                self.dropped += 1
                return
            at = begins + 8 * (len(data) + 28) / link.rate
            self._free_at[id(link)] = at
        at += link.delay + late * link.jitter
        if link.held:
            # Timers of one moment go off in any order: each lets out who is first in the line.
            line = self._lines.setdefault(id(link), deque())
            line.append(send)
            loop.call_at(at + max(0.0, link.held - at % link.every), _let_out, line)
        else:
            loop.call_at(at, send)


def _let_out(line: deque[Callable[[], None]]) -> None:
    line.popleft()()


def _send(side: asyncio.DatagramTransport, data: bytes, address: Address | None) -> None:
    if not side.is_closing():
        side.sendto(data, address)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, on_data: Callable[[bytes, Address], None]) -> None:
        self._on_data = on_data

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self._on_data(data, cast(Address, addr[:2]))
