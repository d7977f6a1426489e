"""Where this host is seen from outside: a server behind a router that keeps ports asks a STUN server."""

import asyncio
from typing import Any

import structlog
from aioice import stun

_TRIES, _PATIENCE = 3, 0.5  # requests, and seconds before another
_log = structlog.get_logger()


class _Asking(asyncio.DatagramProtocol):
    """Takes the answer to one request, and nothing else."""

    def __init__(self) -> None:
        self.request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _from: Any) -> None:
        try:
            answer = stun.parse_message(data)
        except ValueError:
            return
        mapped = answer.attributes.get("XOR-MAPPED-ADDRESS")
        is_ours = answer.transaction_id == self.request.transaction_id
        if is_ours and answer.message_class is stun.Class.RESPONSE and mapped and not self.address.done():
            self.address.set_result(mapped[0])


async def seen_from_outside(server: str) -> str | None:
    """Return the address that a STUN server, `host:port`, sees us at; None when it does not say in time."""
    host, _, port = server.rpartition(":")
    try:
        transport, asking = await asyncio.get_running_loop().create_datagram_endpoint(
            _Asking, remote_addr=(host.strip("[]"), int(port))
        )
    except OSError as error:
        _log.warning("media.stun_server", server=server, error=str(error))
        return None
    try:
        for _ in range(_TRIES):
            transport.sendto(bytes(asking.request))
            done, _ = await asyncio.wait([asking.address], timeout=_PATIENCE)
            if done:
                return asking.address.result()
    finally:
        transport.close()
    _log.warning("media.stun_server", server=server, error="no answer: our own address is told to browsers")
    return None
