"""One media process: its loop, its clock, its two ports, and what lives in it."""

import asyncio
import gc
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from media.clock import Clock
from media.discovery import seen_from_outside
from media.door import Door
from media.dtls import Certificate
from media.mux import Mux
from media.orders import Orders
from media.probes import Probes
from media.sdp import candidates
from media.srtp import Protector, Unprotector
from media.tcp import TcpListener
from media.transport import Wiring

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is told; addresses are those browsers are told to reach it at."""

    index: int
    host: str
    udp_port: int
    tcp_port: int
    public_address: str
    stun_server: str = ""  # is asked for it, if that is empty
    control: Path
    others: Sequence[Path] = ()  # the control sockets of the host's other workers
    other_hosts: str = ""  # the address, host:port, web processes and workers of other hosts ask us at
    secret: bytes = b""  # what the hosts share
    most_viewers: int = 300  # of one room, before others are asked to carry some


class Worker:
    """Owns everything of the process; closed by `run`."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._host = settings.host or _bound(settings.public_address)
        self._mux = Mux(self._host, settings.udp_port)
        self._tcp = TcpListener(self._mux)
        self._door = Door(settings.control, settings.other_hosts, settings.secret)

    async def run(self, stop: asyncio.Event) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        await self._tcp.start(self._host, settings.tcp_port)
        addresses = advertised(settings.public_address, self._host)
        if settings.stun_server and not settings.public_address:
            outside = await seen_from_outside(settings.stun_server, self._host)
            addresses = list(dict.fromkeys([outside, *addresses] if outside else addresses))
        wiring = Wiring(
            mux=self._mux,
            certificate=Certificate(),
            protector=Protector(),
            unprotector=Unprotector(),
            candidates=candidates(addresses, self._mux.port, self._tcp.port),
            probes=Probes(),
            tag=f"w{settings.index}",
        )
        orders = self.orders = Orders(
            wiring,
            self._door.tell,
            most_viewers=settings.most_viewers,
            neighbours=[str(path) for path in settings.others],
            secret=settings.secret,
            pace=self._pace,
        )
        self._clock = Clock(orders.tick)
        self._mux.start(loop, on_read=self._clock.ride)
        await self._door.open(orders, on_read=self._clock.ride)
        # What lives from here on is the rooms; the rest is never garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        _log.info("media.ready", addresses=addresses, udp=self._mux.port, tcp=self._tcp.port)
        try:
            await stop.wait()
        finally:
            self._clock.close()
            self._door.shut()
            orders.close_rooms()
            await asyncio.sleep(0.05)  # let the goodbyes leave
            orders.close()
            self._door.close()
            await self._tcp.close()
            self._mux.close(loop)

    def _pace(self) -> dict[str, Any]:
        return {
            "ticks": self._clock.ticks,
            "late_ticks": self._clock.late,
            "worst_tick_ms": round(1000 * self._clock.worst, 1),
            "connections": self._door.connections,
            "control_refused": self._door.refused,
        }


def _bound(public_address: str) -> str:
    """Return the public address where it is one of this machine's, else every address.

    Of a machine with several, a wildcard socket answers from the one that is next to the peer, whichever was
    asked, and ICE refuses an answer from there.
    """
    if not public_address:
        return "0.0.0.0"
    family = socket.AF_INET6 if ":" in public_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((public_address, 0))
        except OSError:
            return "0.0.0.0"
    return public_address


def advertised(public_address: str, host: str) -> list[str]:
    """Return the addresses browsers are told: the configured one, else the default route's.

    Loopback stands beside the default route's for a browser on this machine.
    """
    if public_address:
        return [public_address]
    if host not in {"0.0.0.0", "::"}:
        return [host]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would be used
            address = str(probe.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    return list(dict.fromkeys([address, "127.0.0.1"]))


def main(settings: WorkerSettings) -> None:
    """Run a worker until SIGTERM or SIGINT."""

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await Worker(settings).run(stop)

    uvloop.run(work())
