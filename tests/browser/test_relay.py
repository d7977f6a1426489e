"""The bad link that other tests put between a browser and a worker."""

import asyncio

from bench.relay import Link, Relay
from tests.builders import until


class _Kept(asyncio.DatagramProtocol):
    """Keeps what came, and from where."""

    def __init__(self) -> None:
        self.came: list[tuple[bytes, object]] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.append((data, addr))


async def test_packets_of_a_client_that_come_at_once_leave_by_one_port_and_nothing_stays_open() -> None:
    loop = asyncio.get_running_loop()
    worker, kept = await loop.create_datagram_endpoint(_Kept, ("127.0.0.1", 0))
    relay = Relay(worker.get_extra_info("sockname"), down=Link(), up=Link())
    await relay.open("127.0.0.1")
    client, _ = await loop.create_datagram_endpoint(_Kept, remote_addr=("127.0.0.1", relay.port))
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
    await asyncio.sleep(0.1)
    open_still = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    assert not open_still
    client.close()
    worker.close()
