"""The address a worker has from outside, of which a STUN server tells."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aioice import stun

from media.discovery import seen_from_outside
from tests.media.peers import ROOM, bench

_SHORT_PRIORITY = bytes.fromhex("010100042112a442") + bytes(12) + bytes.fromhex("00240000")
_OUTSIDE = ("203.0.113.7", 4000)


class _Server(asyncio.DatagramProtocol):
    """Tells everybody the same; the first `deaf` requests it does not hear, and it lies before it tells."""

    def __init__(self, deaf: int) -> None:
        self.heard = 0
        self._deaf = deaf

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.heard += 1
        if self.heard <= self._deaf:
            return
        request = stun.parse_message(data)
        for nonsense in (b"nonsense", _SHORT_PRIORITY):
            self._transport.sendto(nonsense, address)
        for transaction, told in ((b"x" * 12, ("198.51.100.1", 1)), (request.transaction_id, _OUTSIDE)):
            answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction)
            answer.attributes["XOR-MAPPED-ADDRESS"] = told
            self._transport.sendto(bytes(answer), address)


@asynccontextmanager
async def _server(*, deaf: int = 0) -> AsyncIterator[tuple[str, _Server]]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Server(deaf), local_addr=("127.0.0.1", 0)
    )
    host, port = transport.get_extra_info("sockname")
    yield f"{host}:{port}", server
    transport.close()


async def _told(folder: Path, **settings: Any) -> list[str]:
    """Return the addresses that a viewer is told, the preferred first."""
    async with bench(folder, **settings) as made:
        await made.client.attach(ROOM, "a", staff=False, device="d", fence=1)
        offer = await made.client.subscribe(ROOM, "a", restart=False)
    found = re.findall(r"a=candidate:\S+ 1 udp (\d+) (\S+)", offer["sdp"])
    return [address for _, address in dict.fromkeys(sorted(found, key=lambda one: -int(one[0])))]


async def test_viewers_are_told_the_address_the_server_has_outside_and_its_own(tmp_path: Path) -> None:
    own = await _told(tmp_path, public_address="")
    async with _server() as (address, _):
        assert await _told(tmp_path, public_address="", stun_server=address) == [_OUTSIDE[0], *own]


async def test_nobody_is_asked_when_the_address_is_known(tmp_path: Path) -> None:
    async with _server() as (address, server):
        assert await _told(tmp_path, public_address="192.0.2.9", stun_server=address) == ["192.0.2.9"]
    assert not server.heard


async def test_a_request_that_is_lost_is_sent_again() -> None:
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, fault: faults.append(fault))
    async with _server(deaf=1) as (address, server):
        assert await seen_from_outside(address, "0.0.0.0") == _OUTSIDE[0]
    asyncio.get_running_loop().set_exception_handler(None)
    assert server.heard == 2
    assert not faults, "nonsense is passed over"


@pytest.mark.parametrize("server", ["127.0.0.1:9", "nobody.invalid:3478", "a..b:3478", "127.0.0.1:99999"])
async def test_a_server_that_is_not_there_holds_nothing_up(server: str) -> None:
    began = time.monotonic()
    assert await seen_from_outside(server, "0.0.0.0") is None
    assert time.monotonic() - began < 3


async def test_a_server_that_is_silent_is_given_up() -> None:
    async with _server(deaf=9) as (address, server):
        assert await seen_from_outside(address, "0.0.0.0") is None
    assert server.heard == 4
