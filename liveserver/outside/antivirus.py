"""Asking clamd about a file, over its socket: INSTREAM, as its manual has it (clamd(8))."""

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator
from typing import ClassVar

_LENGTH = struct.Struct("!L")
_SECONDS = 120.0  # to look at a whole file
_FOUND = re.compile(r"stream: (.+) FOUND")


class ScannerAway(Exception):
    """clamd does not answer, or says something that is no answer."""


class TooLargeToScan(Exception):
    """clamd reads no files of that size (StreamMaxLength)."""


class Clamd:
    """`address` is `host:port`, or the path of a unix socket."""

    Away: ClassVar[type[Exception]] = ScannerAway
    TooLarge: ClassVar[type[Exception]] = TooLargeToScan

    def __init__(self, address: str) -> None:
        self._address = address

    async def scan(self, pieces: AsyncIterator[bytes]) -> str | None:
        """Return the name of what was found, or None. Raises ScannerAway, TooLargeToScan."""
        try:
            async with asyncio.timeout(_SECONDS):
                said = await self._ask(pieces)
        except (OSError, TimeoutError) as error:
            raise ScannerAway(str(error)) from error
        if said == "stream: OK":
            return None
        if found := _FOUND.fullmatch(said):
            return found[1]
        if "size limit exceeded" in said:
            raise TooLargeToScan
        raise ScannerAway(said[:200])

    async def _ask(self, pieces: AsyncIterator[bytes]) -> str:
        reader, writer = await self._connect()
        # It may answer and close before everything is sent, so the answer is awaited from the start.
        answer = asyncio.create_task(reader.read(4096))
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(b"zINSTREAM\0")
                async for piece in pieces:
                    await asyncio.sleep(0)  # what it says before it hangs up is read first
                    if answer.done():
                        break
                    writer.write(_LENGTH.pack(len(piece)) + piece)
                    await writer.drain()
                else:
                    writer.write(_LENGTH.pack(0))
                    await writer.drain()
            return (await answer).rstrip(b"\0\n").decode("utf-8", "replace")
        finally:
            answer.cancel()
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, colon, port = self._address.rpartition(":")
        if colon and port.isdigit():
            return await asyncio.open_connection(host.strip("[]"), int(port))
        return await asyncio.open_unix_connection(self._address)
