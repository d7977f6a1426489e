"""Where a media worker takes orders: a unix socket, and a sealed port for other hosts."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import structlog

from media.channel import Channel, WrongSecret, call_of, endpoint, pack
from media.control import WorkerGone, WorkerRefused
from media.orders import METHODS, Orders, Refused
from media.pipe import Inlet, SealedInlet, pipe_path
from media.room import FloorFull, OlderEntrance
from media.sdp import SdpError
from media.transport import NewPeerCertificate

_MOST_UNPROVEN = 64  # connections of who has not shown yet that they know the secret; then the oldest goes
_log = structlog.get_logger()


class Door:
    """Closed by the worker. `other_hosts` is the address, host:port, other hosts come to; none when empty."""

    def __init__(self, control: Path, other_hosts: str, secret: bytes) -> None:
        self._control = control
        self._other_hosts = other_hosts
        self._secret = secret
        self._orders: Orders | None = None
        self._channels: set[Channel] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._inlet = Inlet(pipe_path(str(control)), self._piped)
        self._sealed = SealedInlet(other_hosts, self._piped) if other_hosts else None
        self._unproven: dict[asyncio.StreamWriter, None] = {}  # in the order they came

    async def open(self, orders: Orders, on_read: Callable[[], None]) -> None:
        """Take orders, and what comes over pipes; say so after each read of a pipe."""
        self._orders = orders
        loop = asyncio.get_running_loop()
        self._control.unlink(missing_ok=True)
        self._servers.append(await asyncio.start_unix_server(self._near, str(self._control)))
        self._control.chmod(0o600)
        self._inlet.start(loop, on_read)
        if self._sealed is not None:
            self._servers.append(await asyncio.start_server(self._far, *endpoint(self._other_hosts)))
            self._sealed.start(loop, on_read)

    def shut(self) -> None:
        """Take nobody new."""
        for server in self._servers:
            server.close()

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        self._inlet.close(loop)
        if self._sealed is not None:
            self._sealed.close(loop)
        for channel in self._channels:
            channel.close()

    def tell(self, name: str, facts: dict[str, Any]) -> None:
        """Tell everybody who may ask for something and has not asked for silence, as other workers do."""
        body = pack([0, name, facts])
        for channel in self._channels:
            if channel.hears_all:
                channel.write_packed(body)

    @property
    def connections(self) -> int:
        """How many web processes, workers and others may ask for something now."""
        return len(self._channels)

    @property
    def refused(self) -> int:
        """How many datagrams came to the port of other hosts that were not sealed for it."""
        return self._sealed.refused if self._sealed is not None else 0

    def _piped(self, head: bytes, packets: Iterable[bytes]) -> None:
        if self._orders is not None:
            self._orders.take(head, packets)

    async def _near(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(Channel(reader, writer))

    async def _far(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._unproven) >= _MOST_UNPROVEN:
            oldest = next(iter(self._unproven))
            del self._unproven[oldest]
            oldest.close()
        self._unproven[writer] = None
        try:
            channel = await Channel.accept(reader, writer, self._secret, self._other_hosts)
        except WrongSecret:
            _log.warning("control.wrong_secret", peer=writer.get_extra_info("peername"))
            writer.close()
            return
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.close()
            return
        finally:
            self._unproven.pop(writer, None)
        assert channel.keys is not None  # noqa: S101 - of another host
        assert self._sealed is not None  # noqa: S101 - it opened with our port
        self._sealed.welcome(channel.keys)
        try:
            await self._serve(channel)
        finally:
            self._sealed.forget(channel.keys)

    async def _serve(self, channel: Channel) -> None:
        assert self._orders is not None  # noqa: S101 - set by open
        self._channels.add(channel)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, ValueError):
                while True:
                    number, method, arguments = call_of(await channel.read())
                    answer = self._answer(self._orders, number, method, arguments, channel)
                    if isinstance(answer, Awaitable):
                        task = asyncio.create_task(self._answer_later(number, method, answer, channel))
                        self._answering.add(task)
                        task.add_done_callback(self._answering.discard)
                    else:
                        channel.write(answer)
                    await channel.drain()
        finally:
            self._channels.discard(channel)
            channel.close()
            self._orders.leave(channel)

    def _answer(
        self, orders: Orders, number: int, method: str, arguments: dict[str, Any], owner: Channel
    ) -> list[Any] | Awaitable[Any]:
        """Do what is asked; what another worker is asked for is to be waited for."""
        call: Callable[..., Any] | None = METHODS.get(method)
        if call is None:
            return [number, False, "invalid", f"there is no method {method}"]
        try:
            result = call(orders, owner, **arguments)
        except Exception as error:
            return [number, False, *_refusal(error, method)]
        return result if inspect.isawaitable(result) else [number, True, result]

    async def _answer_later(self, number: int, method: str, result: Awaitable[Any], channel: Channel) -> None:
        try:
            answer = [number, True, await result]
        except Exception as error:
            answer = [number, False, *_refusal(error, method)]
        channel.write(answer)


def _refusal(error: Exception, method: str) -> tuple[str, str]:
    """Return the code and the sentence of an answer that is none."""
    if isinstance(error, Refused | WorkerRefused):
        return error.code, error.sentence
    if isinstance(error, WorkerGone):
        return "not_attached", "the worker they watched at is gone: ask for an offer again"
    if isinstance(error, NewPeerCertificate):
        return "bad_sdp", "the certificate changed: open a new connection"
    if isinstance(error, SdpError):
        return "bad_sdp", str(error)
    if isinstance(error, OlderEntrance):
        return "superseded", "they have entered again since"
    if isinstance(error, FloorFull):
        return "floor_full", f"nobody else may send a {error} now"
    _log.error("media.internal", method=method, exc_info=error)
    return "internal", "a bug in the worker"
