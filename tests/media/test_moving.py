"""Who moves while they send is heard from where they are before a check says so.

Nobody else is, and nothing is sent there before one does.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiortc import RTCPeerConnection

from media.ice import Path as Way
from media.mux import Mux
from media.rtp import is_rtcp
from tests.media.peers import Bench, bench


@asynccontextmanager
async def _class(folder: Path) -> AsyncIterator[tuple[Bench, RTCPeerConnection]]:
    """A teacher, whose connection is returned, and a student who sees them."""
    async with bench(folder) as b:
        await b.attach("teacher", staff=True)
        teacher, _ = await b.publish("teacher", ("camera",))
        await b.attach("student")
        await b.subscribe("student")
        await b.sees("student")
        yield b, teacher


def _ice(peer: RTCPeerConnection) -> Any:
    return peer.getSenders()[0].transport.transport


@contextmanager
def _elsewhere(b: Bench, peer: RTCPeerConnection | None = None) -> Iterator[socket.socket]:
    """Another socket, of which the worker knows nothing; a peer's media goes over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.connect(b.worker.orders._wiring.mux._socket.getsockname())

        async def send(data: bytes) -> None:
            made.send(data)

        if peer is None:
            yield made
        else:
            with patch.object(_ice(peer), "_send", send):
                yield made


def _ways(b: Bench) -> set[Way]:
    return set(b.worker.orders._wiring.mux._by_path)


async def test_media_is_taken_from_where_no_check_came_and_nothing_is_sent_there(tmp_path: Path) -> None:
    async with _class(tmp_path) as (b, teacher):
        dropped, known = (await b.client.stats())["dropped"], _ways(b)
        for _ in range(3):
            with _elsewhere(b, teacher) as one:
                await b.sees("student")
                with pytest.raises(BlockingIOError):
                    one.recv(2000)
        assert _ways(b) == known
        after = (await b.client.stats())["dropped"]
        assert sum(after.values()) - sum(dropped.values()) < 10, "reports, which name nobody"


async def test_who_writes_the_ssrc_of_another_or_repeats_their_packets_is_nobody(tmp_path: Path) -> None:
    async with _class(tmp_path) as (b, teacher):
        known, heard = _ways(b), list[bytes]()
        send = _ice(teacher)._send

        async def overheard(data: bytes) -> None:
            await send(data)
            heard.append(data)

        with patch.object(_ice(teacher), "_send", overheard):
            await b.sees("student")
        media = [one for one in heard if not is_rtcp(one)][-20:]
        forged = [one[:-1] + bytes([one[-1] ^ 1]) for one in media]
        later = [one[:2] + bytes([one[2] ^ 1]) + one[3:] for one in media]
        before = (await b.client.stats())["dropped"].get("srtp_from_stranger", 0)
        with _elsewhere(b) as one:
            for _ in range(20):
                for data in (*media, *forged, *later):
                    one.send(data)
                await asyncio.sleep(0.02)
            await b.sees("student")
        assert _ways(b) == known
        assert (await b.client.stats())["dropped"]["srtp_from_stranger"] - before == 20 * 60


class _Peer:
    """Takes what it is given, and counts it."""

    def __init__(self, *, theirs: bool) -> None:
        self.tried = 0
        self.theirs = theirs

    def on_srtp(self, _data: bytes, _path: Way) -> bool:
        self.tried += 1
        return self.theirs

    def on_check(self, _data: bytes, _path: Way, _address: tuple[str, int]) -> bytes | None:
        raise AssertionError

    def on_dtls(self, _data: bytes) -> None:
        raise AssertionError

    def on_path_lost(self, _path: Way) -> None:
        raise AssertionError


def _send(mux: Mux, ssrc: bytes, times: int = 1, *, kind: int = 96) -> None:
    """Send from so many strange addresses."""
    for n in range(times):
        mux.datagram(bytes([0x80, kind]) + bytes(6) + ssrc + bytes(40), ("192.0.2.1", n), ("192.0.2.1", n))


def test_strangers_have_a_hundred_trials_a_second_and_take_none_from_others(mux: Mux) -> None:
    forged, real = _Peer(theirs=False), _Peer(theirs=True)
    mux.expect(b"frgd", forged)
    mux.expect(b"real", real)
    _send(mux, b"frgd", 1000)
    assert 100 <= forged.tried <= 200, "a second may end meanwhile"
    _send(mux, b"real", 1000)
    _send(mux, b"real", 1000, kind=200)
    assert (real.tried, mux.dropped["srtp_from_stranger"]) == (1000, 2000)


def test_an_ssrc_is_looked_for_at_who_named_it_last_as_long_as_they_do(mux: Mux) -> None:
    one, other = _Peer(theirs=True), _Peer(theirs=True)
    mux.expect(b"same", one)
    mux.expect(b"same", other)
    _send(mux, b"same")
    assert (one.tried, other.tried) == (0, 1)
    mux.expect_no_more(b"same", other)
    _send(mux, b"same")
    assert (one.tried, other.tried) == (1, 1)
    mux.expect(b"more", one)
    mux.forget(one)
    for ssrc in (b"same", b"more"):
        _send(mux, ssrc)
    assert (one.tried, other.tried) == (1, 1)
    assert not mux._by_ssrc
