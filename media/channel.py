"""A control connection: messages one way and the other, in the clear on one host, sealed between hosts.

A message is msgpack behind a four-byte length. An address is the path of a unix socket, or `IP:port` of
another host: there both ends name random bytes, prove with a first, empty message that they know the secret,
the caller before the called, and seal all that follows (media/sealing.py).
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgpack

from media.sealing import NONCE_BYTES, TAG_BYTES, Keys, Opener, Sealer, SealError, agree

_LENGTH = struct.Struct("!L")
_LONGEST = 1 << 20
_SECONDS_TO_GREET = 3.0
_MOST_BEHIND = 16 << 20  # bytes the other end may leave unread
_SILENT_MS = 5000  # what is not acknowledged for so long ends a connection to another host


class ControlError(ValueError):
    """Bytes that are no message of the protocol; the connection is closed."""


class WrongSecret(ControlError):
    """The other end does not know our secret."""


def is_of_another_host(address: str) -> bool:
    return not address.startswith(("/", "."))


def endpoint(address: str) -> tuple[str, int]:
    """Return IP address and port of an address of another host. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def pack(message: Sequence[Any]) -> bytes:
    body: bytes = msgpack.packb(message)
    return body


def unpack(body: bytes) -> list[Any]:
    """Return the message of these bytes. Raises ControlError."""
    try:
        message = msgpack.unpackb(body)
    except Exception as error:  # msgpack raises half a dozen kinds, ValueError not always among them
        raise ControlError("not msgpack") from error
    if not isinstance(message, list) or len(message) < 3:
        raise ControlError("not a control message")
    return message


def call_of(message: Sequence[Any]) -> tuple[int, str, dict[str, Any]]:
    """Return number, method and arguments of a message that asks for something. Raises ControlError."""
    number, method, arguments = message if len(message) == 3 else (None, None, None)
    if not (isinstance(number, int) and isinstance(method, str) and isinstance(arguments, dict)):
        raise ControlError("not a call")
    return number, method, arguments


class Channel:
    """One end of a connection. Closed by who opened it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keys: Keys | None = None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.keys = keys  # between hosts
        self.hears_all = True  # what is told of every room, and not only what it asked for
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None

    @classmethod
    async def connect(cls, address: str, secret: bytes) -> "Channel":
        """Raises OSError, IncompleteReadError, TimeoutError; WrongSecret."""
        if not is_of_another_host(address):
            return cls(*await asyncio.open_unix_connection(address))
        async with asyncio.timeout(_SECONDS_TO_GREET):
            host, port = endpoint(address)
            reader, writer = await asyncio.open_connection(host, port)
            try:
                ours = os.urandom(NONCE_BYTES)
                writer.write(ours)
                keys = agree(secret, ours, await reader.readexactly(NONCE_BYTES), address)
                made = cls(reader, writer, keys=keys)
                made._seal(Sealer(keys.to_called), Opener(keys.to_caller))
                made._send(b"")
                await made._see_proof()
            except BaseException:
                writer.close()
                raise
        return made

    @classmethod
    async def accept(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes, address: str
    ) -> "Channel":
        """Take another host's connection. Raises OSError, IncompleteReadError, TimeoutError; WrongSecret."""
        async with asyncio.timeout(_SECONDS_TO_GREET):
            ours = os.urandom(NONCE_BYTES)
            writer.write(ours)
            keys = agree(secret, await reader.readexactly(NONCE_BYTES), ours, address)
            made = cls(reader, writer, keys=keys)
            made._seal(Sealer(keys.to_caller), Opener(keys.to_called))
            await made._see_proof()  # before ours: a stranger is given nothing to try secrets on
            made._send(b"")
        return made

    def _seal(self, sealer: Sealer, opener: Opener) -> None:
        """Seal from here on, and end what the other host is silent on."""
        self._sealer, self._opener = sealer, opener
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        connection = self._writer.get_extra_info("socket")
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, _SILENT_MS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, seconds in (("TCP_KEEPIDLE", 2), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)

    async def _see_proof(self) -> None:
        try:
            await self._body(TAG_BYTES)
        except (
            ControlError,
            asyncio.IncompleteReadError,
        ) as error:  # it hangs up on who does not know its own
            raise WrongSecret("the other end does not know our secret") from error

    async def read(self) -> list[Any]:
        """Return the next message. Raises IncompleteReadError at the end, ControlError on nonsense."""
        return unpack(await self._body())

    async def _body(self, longest: int = _LONGEST) -> bytes:
        (size,) = _LENGTH.unpack(await self._reader.readexactly(4))
        if size > longest:
            raise ControlError(f"a control message above {longest} bytes")
        body = await self._reader.readexactly(size)
        if self._opener is None:
            return body
        try:
            return self._opener.open(body)
        except SealError as error:
            raise ControlError(str(error)) from error

    def write(self, message: Sequence[Any]) -> None:
        """Send without waiting, unless the other end is gone; one that reads nothing is given up."""
        self.write_packed(pack(message))

    def write_packed(self, body: bytes) -> None:
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > _MOST_BEHIND:
            self._writer.transport.abort()
            return
        with contextlib.suppress(RuntimeError):  # uvloop's, of one that was just closed
            self._send(body)

    def _send(self, body: bytes) -> None:
        if self._sealer is not None:
            body = self._sealer.seal(body)
        self._writer.write(_LENGTH.pack(len(body)) + body)

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()
