"""The bad link that other tests put between a browser and a worker."""

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest

from bench.relay import Link, Relay
from tests.builders import until


class _Kept(asyncio.DatagramProtocol):
    """Keeps what came, and from where."""

    def __init__(self) -> None:
        self.came: list[tuple[bytes, object]] = []
        self.times: list[float] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.append((data, addr))
        self.times.append(asyncio.get_running_loop().time())


def udp_ports() -> set[int]:
    """What this process has open."""
    return {one.laddr.port for one in psutil.Process().net_connections("udp")}


@pytest.fixture
async def way() -> AsyncIterator[tuple[_Kept, Relay, asyncio.DatagramTransport]]:
    """What a worker was sent, a relay before it, and a client of the relay's."""
    loop = asyncio.get_running_loop()
    worker, kept = await loop.create_datagram_endpoint(_Kept, ("127.0.0.1", 0))
    relay = Relay(worker.get_extra_info("sockname"), down=Link(), up=Link())
    await relay.open("127.0.0.1")
    client, _ = await loop.create_datagram_endpoint(_Kept, remote_addr=("127.0.0.1", relay.port))
    yield kept, relay, client
    for socket in (client, worker):
        socket.close()
    relay.close()


async def test_packets_of_a_client_that_come_at_once_leave_by_one_port_and_nothing_stays_open(
    way: tuple[_Kept, Relay, asyncio.DatagramTransport],
) -> None:
    kept, relay, client = way
    others, ours = asyncio.all_tasks(), udp_ports()
    packets = [bytes((n,)) for n in range(9)]
    for packet in packets:
        client.sendto(packet)
    await until(lambda: len(kept.came) == len(packets), 3)
    assert sorted(data for data, _ in kept.came) == packets
    ports = {port for _, port in kept.came}
    assert len(ports) == 1
    relay.move()
    client.sendto(b"moved")
    await until(lambda: len(kept.came) == len(packets) + 1, 3)
    assert kept.came[-1][1] not in ports
    client.sendto(b"too late")  # it is not open yet when the relay closes
    relay.move()
    client.sendto(b"too late")
    await asyncio.sleep(0)
    relay.close()
    await until(lambda: asyncio.all_tasks() <= others, 3)
    await until(lambda: udp_ports() < ours, 3)  # the relay's own is closed, too


async def test_what_a_link_holds_up_comes_at_once_and_in_order(
    way: tuple[_Kept, Relay, asyncio.DatagramTransport],
) -> None:
    kept, relay, client = way
    client.sendto(b"first")  # the port towards the worker is opened
    await until(lambda: len(kept.came) == 1, 3)
    relay.up.every, relay.up.held = 0.2, 0.15
    packets, sent = [bytes((n,)) for n in range(60)], []
    for packet in packets:
        sent.append(asyncio.get_running_loop().time())
        client.sendto(packet)
        await asyncio.sleep(0.005)
    await until(lambda: len(kept.came) == len(packets) + 1, 3)
    assert [data for data, _ in kept.came[1:]] == packets
    held = [max(0.0, 0.15 - at % 0.2) for at in sent]
    took = [came - at for came, at in zip(kept.times[1:], sent, strict=True)]
    assert max(held) > 0.1
    assert all(took[n] >= held[n] - 0.01 for n in range(len(packets)))
