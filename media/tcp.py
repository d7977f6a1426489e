"""ICE over TCP, passive (RFC 6544): the same packets behind a two-byte length (RFC 4571)."""

import asyncio
import struct
from typing import cast

from media.mux import Mux
from media.rtp import LONGEST, SHORTEST

_LENGTH = struct.Struct("!H")
_MOST_CONNECTIONS, _MOST_PER_ADDRESS = 4000, 1000
_SECONDS_TO_FIRST_CHECK = 5.0
_WRITE_LIMIT = 256 * 1024


class TcpPath(asyncio.Protocol):
    """One connection; hashable by identity, so it is a path like an address is."""

    def __init__(self, listener: "TcpListener") -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._deadline: asyncio.TimerHandle | None = None
        self.address: tuple[str, int] = ("", 0)
        self.validated = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        peer = self._transport.get_extra_info("peername")  # None when it hung up already
        self.address = peer[:2] if peer else ("", 0)
        if peer is None or not self._listener.admit(self):
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(_SECONDS_TO_FIRST_CHECK, self._silent)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 2:
            size = self._buffer[0] << 8 | self._buffer[1]
            if size < SHORTEST or size > LONGEST:
                self.close()
                return
            if len(self._buffer) < 2 + size:
                return
            frame = bytes(self._buffer[2 : 2 + size])
            del self._buffer[: 2 + size]
            self._frame(frame)

    def _frame(self, frame: bytes) -> None:
        reply = self._listener.mux.datagram(frame, self, self.address)
        if reply is not None:
            self.validated = True
            self.send(reply)
        elif not self.validated:
            self.close()  # the first frame must be a check we accept

    def send(self, data: bytes) -> bool:
        """Queue a packet; False when the peer reads too slowly and it was dropped."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > _WRITE_LIMIT:
            return False
        transport.write(_LENGTH.pack(len(data)) + data)
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._listener.lost(self)

    def _silent(self) -> None:
        if not self.validated:
            self.close()


class TcpListener:
    """Owns the TCP port and its connections; closed by the worker."""

    def __init__(self, mux: Mux) -> None:
        self.mux = mux
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[TcpPath] = set()

    async def start(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TcpPath(self), host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    def admit(self, path: TcpPath) -> bool:
        same = sum(1 for one in self._connections if one.address[0] == path.address[0])
        if len(self._connections) >= _MOST_CONNECTIONS or same >= _MOST_PER_ADDRESS:
            self.mux.dropped["tcp_connections"] += 1
            return False
        self._connections.add(path)
        return True

    def lost(self, path: TcpPath) -> None:
        self._connections.discard(path)
        self.mux.path_lost(path)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for path in list(self._connections):
            path.close()
