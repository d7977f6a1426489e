"""The processes of one host: starts them in order, starts again what dies, stops them in reverse."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import IO

import aiohttp
import structlog

from liveserver import certificates, demo, pulse
from liveserver.config import ConfigError, Running, Settings, join_running
from liveserver.embedded.postgres import Postgres
from liveserver.embedded.process import Child
from liveserver.embedded.seaweed import Seaweed
from liveserver.embedded.valkey import Valkey
from liveserver.outside.transcoding import Transcoder
from liveserver.storage.migrating import migrate
from media.channel import endpoint
from media.memory import environment as worker_environment

_SECONDS_TO_READY = 60.0
_SHORTEST_LIFE = 5.0  # seconds; who dies sooner waits before it is started again
_log = structlog.get_logger()

Starter = Callable[[], Awaitable[Child]]


class CannotStart(Exception):
    """Why this host cannot serve, in a sentence a person can act on."""


class Supervisor:
    """Owns every process of the host. `run` returns when all of them are gone."""

    def __init__(self, settings: Settings, *, with_demo: bool, lan: bool) -> None:
        self._settings = settings
        self._with_demo = with_demo
        self._lan = lan
        self._state = settings.state.dir.resolve()
        self._sockets = Path()
        self._children: dict[str, Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._lock: IO[str] | None = None

    async def run(self) -> None:
        """Start, print where, and wait for SIGINT or SIGTERM. Raises CannotStart."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        self._take_state()
        try:
            if self._lan:
                self._settings = certificates.for_lan(self._settings, self._state)
            self._check_ports()
            starting = asyncio.create_task(self._start(), name="start")
            stopping = asyncio.create_task(self._stopping.wait(), name="stop")
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._banner()
                await stopping
            else:
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            stopping.cancel()
        finally:
            await self._stop()

    # Starting

    def _take_state(self) -> None:
        """Make the state directory ours alone; a second server on it is refused."""
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._state / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                f"another liveserver runs on {self._state}; stop it or set LIVE_STATE__DIR"
            ) from None
        self._lock = lock
        with contextlib.suppress(ConfigError, OSError, ValueError):  # leftovers of a hard kill
            shutil.rmtree(join_running(self._settings).sockets, ignore_errors=True)
        # A unix socket's path must be short, and a state directory's may not be.
        self._sockets = Path(tempfile.mkdtemp(prefix="liveserver-"))

    def _check_ports(self) -> None:
        """Name the setting of a port somebody else has, before anything is started."""
        http, media = self._settings.http, self._settings.media
        for n in range(http.processes):
            _try_bind(socket.SOCK_STREAM, http.host, http.port, n, "http.port")
            if http.admin_port:
                _try_bind(socket.SOCK_STREAM, http.admin_host, http.admin_port, n, "http.admin_port")
        for address in self._settings.control_addresses(media.worker_count()):
            host, port = endpoint(address)
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                _try_bind(kind, host, port, 0, "media.control_address")
        for n in range(media.worker_count()):
            if media.udp_port:
                _try_bind(socket.SOCK_DGRAM, media.host, media.udp_port, n, "media.udp_port")
            if media.tcp_port:
                _try_bind(socket.SOCK_STREAM, media.host, media.tcp_port, n, "media.tcp_port")

    async def _start(self) -> None:
        running = await self._start_stores()
        running.write(self._settings)
        await migrate(running.database_url)
        if self._with_demo:
            await demo.prepare(self._settings, running)
        Transcoder(self._settings.state.dir / "spool").clear()
        for n in range(running.workers):
            await self._keep(f"media-{n}", partial(self._ours, "media", "--index", str(n)))
            watching = pulse.watch(running.control_socket(n), partial(self._end_hanging, f"media-{n}"))
            self._watchers.append(asyncio.create_task(watching, name=f"pulse-{n}"))
        for n in range(self._settings.http.processes):
            port = self._settings.http.port + n
            await self._keep(f"web-{n}", partial(self._ours, "web", "--port", str(port)))
        for n in range(self._settings.http.processes):
            await self._healthy(n)

    async def _start_stores(self) -> Running:
        settings, logs = self._settings, self._state / "log"
        logs.mkdir(exist_ok=True)
        s3 = settings.s3
        postgres = Postgres(self._state / "postgres", self._sockets / "pg", logs / "postgres.log")
        valkey = Valkey(self._state / "valkey", self._sockets, logs / "valkey.log")
        seaweed = Seaweed(self._state / "s3", logs / "seaweedfs.log", s3.bucket)
        async with asyncio.TaskGroup() as group:
            if not settings.database.url:
                group.create_task(self._keep("postgres", postgres.start))
            if not settings.redis.url:
                group.create_task(self._keep("valkey", valkey.start))
            if not s3.endpoint:
                group.create_task(self._keep("seaweedfs", seaweed.start))
        return Running(
            sockets=self._sockets,
            workers=settings.media.worker_count(),
            database_url=settings.database.url or postgres.url,
            redis_url=settings.redis.url or valkey.url,
            s3_endpoint=s3.endpoint or seaweed.endpoint,
            s3_access_key=s3.access_key if s3.endpoint else seaweed.access_key,
            s3_secret_key=s3.secret_key if s3.endpoint else seaweed.secret_key,
            auth_secret=settings.auth.secret or self._own_secret(),
        )

    def _own_secret(self) -> str:
        path = self._state / "secret"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(32))
        return path.read_text(encoding="utf-8")

    async def _ours(self, *arguments: str) -> Child:
        """Start a process of our own; it reads run.json for the rest."""
        environment = {**os.environ, **self._overrides()}
        if arguments[0] == "media":
            environment = worker_environment(environment)
        command = [sys.executable, "-m", "liveserver", *arguments]
        return await Child.start(arguments[0], command, log=None, env=environment)

    def _overrides(self) -> dict[str, str]:
        http = self._settings.http
        return {
            "LIVE_HTTP__HOST": http.host,
            "LIVE_HTTP__CERTIFICATE": http.certificate,
            "LIVE_HTTP__KEY": http.key,
        }

    async def _keep(self, name: str, start: Starter) -> None:
        """Start a process, and start it again whenever it ends by itself."""
        self._children[name] = await start()
        self._watchers.append(asyncio.create_task(self._watch(name, start), name=f"watch-{name}"))

    async def _watch(self, name: str, start: Starter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            code = await self._children[name].wait()
            if self._stopping.is_set():
                return
            _log.error("process.died", name=name, code=code)
            if loop.time() - since < _SHORTEST_LIFE:
                await asyncio.sleep(1)
            try:
                self._children[name] = await start()
            except Exception:
                _log.exception("process.restart_failed", name=name)
                await asyncio.sleep(1)

    def _end_hanging(self, name: str) -> None:
        """End a process that answers nobody; it is started again like one that died."""
        _log.error("process.hangs", name=name)
        self._children[name].kill()

    async def _healthy(self, n: int) -> None:
        """Wait until a web process says it can hold a class; give up when it cannot stay alive."""
        http = self._settings.http
        host = "127.0.0.1" if http.host in {"0.0.0.0", "", "::"} else http.host
        url = f"{'https' if http.secure else 'http'}://{host}:{http.port + n}/api/health"
        deadline = asyncio.get_running_loop().time() + _SECONDS_TO_READY
        async with aiohttp.ClientSession() as client:
            while asyncio.get_running_loop().time() < deadline:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(url, ssl=False, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)
        raise CannotStart(f"web-{n} did not become ready in {_SECONDS_TO_READY:.0f} s")

    def _banner(self) -> None:
        lines = ["", f"  liveserver is ready: {self._settings.http.address()}"]
        if self._lan:
            lines.append("  On a phone, open it once and accept the certificate made for this network.")
        if self._with_demo:
            lines += demo.banner()
        lines += ["", "  Ctrl-C stops everything; the data stays in " + str(self._state), ""]
        print("\n".join(lines), flush=True)

    # Stopping

    async def _stop(self) -> None:
        self._stopping.set()
        if self._children:
            print("\n  stopping ...", flush=True)
        for watcher in self._watchers:
            watcher.cancel()
        ours = [child for name, child in self._children.items() if name.startswith("web")]
        await asyncio.gather(*(child.stop(10) for child in ours))
        workers = [child for name, child in self._children.items() if name.startswith("media")]
        await asyncio.gather(*(child.stop(5) for child in workers))
        await asyncio.gather(*(child.stop() for child in self._children.values()))
        if self._sockets != Path():
            shutil.rmtree(self._sockets, ignore_errors=True)
        if self._lock is not None:
            Running.path(self._settings).unlink(missing_ok=True)
            self._lock.close()


def _try_bind(kind: socket.SocketKind, host: str, first: int, nth: int, setting: str) -> None:
    """Raise CannotStart when a port is taken, with the setting to change."""
    port = first + nth
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            variable = "LIVE_" + setting.upper().replace(".", "__")
            raise CannotStart(
                f"port {port} on {host or 'every address'} cannot be used: {error.strerror};"
                f" choose another with {setting} in config.toml or {variable}=..."
            ) from None
