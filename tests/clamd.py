"""A scanner that speaks clamd's INSTREAM, as strictly as clamd does, and knows one virus: EICAR's."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
LARGEST = 1 << 20


@contextlib.asynccontextmanager
async def clamd(path: Path) -> AsyncIterator[list[int]]:
    """Listen on a unix socket; yield the sizes of what was looked at, whole or not."""
    looked_at: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(10) == b"zINSTREAM\0"
        data = b""
        while size := struct.unpack("!L", await reader.readexactly(4))[0]:
            data += await reader.readexactly(size)
            if len(data) > LARGEST:
                break
        looked_at.append(len(data))
        said = b"stream: OK"
        if len(data) > LARGEST:
            said = b"INSTREAM size limit exceeded. ERROR"
        elif EICAR in data:
            said = b"stream: Eicar-Test-Signature FOUND"
        writer.write(said + b"\0")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield looked_at
    finally:
        server.close()
