"""Where this host is seen from outside: a server behind a router that keeps ports asks a STUN server."""

import asyncio
import socket
import struct
from typing import Any

import structlog
from aioice import stun

_AGAIN = 0.5  # seconds, before another request
_PATIENCE = 1.75  # seconds, for all of it
_log = structlog.get_logger()


class _Asking(asyncio.DatagramProtocol):
    """Takes the answer to one request, and nothing else."""

    def __init__(self) -> None:
        self.request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _from: Any) -> None:
        try:
            answer = stun.parse_message(data)
        except (ValueError, struct.error):
            return
        mapped = answer.attributes.get("XOR-MAPPED-ADDRESS")
        is_ours = answer.transaction_id == self.request.transaction_id
        if is_ours and answer.message_class is stun.Class.RESPONSE and mapped and not self.address.done():
            self.address.set_result(mapped[0])


async def seen_from_outside(server: str, host: str) -> str | None:
    """Return the address a STUN server, `host:port`, sees our own at; None when it does not say in time."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _asked(server, host)
    except (OSError, ValueError, OverflowError) as error:  # not in time, or no such name or port
        _log.warning("media.stun_server", server=server, error=repr(error))
        return None


async def _asked(server: str, own: str) -> str:
    host, _, port = server.rpartition(":")
    transport, asking = await asyncio.get_running_loop().create_datagram_endpoint(
        _Asking,
        (own, 0),
        (host.strip("[]"), int(port)),
        family=socket.AF_INET6 if ":" in own else socket.AF_INET,
    )
    try:
        while True:
            transport.sendto(bytes(asking.request))
            done, _ = await asyncio.wait([asking.address], timeout=_AGAIN)
            if done:
                return asking.address.result()
    finally:
        transport.close()
