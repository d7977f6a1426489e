"""Workers of two hosts: control and pipes are sealed with a secret, and nobody without it gets anywhere."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from media.channel import Channel, WrongSecret, endpoint
from media.control import WorkerClient, WorkerGone
from media.sealing import NAME_BYTES, Opener, Sealer, SealError, agree
from tests.builders import until
from tests.media.peers import MICROPHONE, ROOM, lossy_pipes, two_hosts

SECRET = b"what both hosts know"


async def test_a_class_spills_to_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    send = socket.socket.send

    class Overheard(socket.socket):
        def send(self, data: Any, flags: int = 0) -> int:
            sent.append(bytes(data))
            return send(self, data, flags)

    monkeypatch.setattr("media.pipe.socket.socket", Overheard)
    async with two_hosts(tmp_path, (SECRET, SECRET)) as (one, two, _):
        await one.hold_class("a", "b")
        stats = await two.client.stats()
        assert (stats["mirrors"], stats["participants"]) == (1, 1)
        for name in ("a", "b"):
            await one.sees(name)
            await one.sees(name, MICROPHONE)
        assert len(sent) > 100
        assert len({data[:NAME_BYTES] for data in sent}) == 1
        assert len({data[: NAME_BYTES + 8] for data in sent}) == len(sent), "each has a number of its own"

        # The worker that carries somebody is not forgotten when it takes nobody new any more.
        await one.client.know([])
        await one.sees("b")
        await one.attach("late")
        await one.subscribe("late")
        await one.sees("late")
        assert (await two.client.stats())["participants"] == 1
        await one.client.close_room(ROOM)
        await until(lambda: not two.worker.orders._mirrors, 5)


async def test_what_a_pipe_between_hosts_loses_is_asked_for_again(tmp_path: Path) -> None:
    with lossy_pipes() as loss:
        async with two_hosts(tmp_path, (SECRET, SECRET)) as (one, _, _):
            await one.keeps_up_over(loss)


async def test_a_host_with_another_secret_carries_nobody(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, (SECRET, b"another")) as (one, two, address):
        await one.hold_class("a", "b")
        for name in ("a", "b"):
            await one.sees(name)
        assert (await two.client.stats())["mirrors"] == 0
        with pytest.raises(WrongSecret):
            await Channel.connect(address, SECRET)


async def test_strangers_get_nowhere(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, (SECRET, SECRET)) as (one, two, address):
        await one.hold_class("a", "b")
        await one.sees("b")
        # Neither nonsense nor silence at the control port keeps who knows the secret out.
        silent = [await asyncio.open_connection(*endpoint(address)) for _ in range(20)]
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*endpoint(address))
            writer.write(os.urandom(200))
            await reader.read()
            writer.close()
        client = WorkerClient(address, lambda _name, _facts: None, lambda: None, SECRET)
        talking = asyncio.create_task(client.run())
        await client.ready(5)
        assert (await client.stats())["mirrors"] == 1
        # Nor do datagrams that nobody sealed, or sealed with a key that is no connection's.
        before = (await two.client.stats())["control_refused"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for n in range(50):
                stranger.sendto(os.urandom(n * 10), endpoint(address))
                keys = agree(SECRET, os.urandom(32), os.urandom(32), address)
                stranger.sendto(Sealer(keys.pipe).datagram(keys.pipe_name, bytes(50)), endpoint(address))
        await one.sees("b")
        assert (await two.client.stats())["control_refused"] == before + 100
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        with pytest.raises(WorkerGone):
            await client.stats()
        for _, writer in silent:
            writer.close()


def test_what_came_before_or_was_changed_is_not_opened() -> None:
    keys = agree(SECRET, bytes(32), bytes(32), "one")
    assert agree(SECRET, os.urandom(32), bytes(32), "one").pipe != keys.pipe
    assert agree(SECRET, bytes(32), bytes(32), "another").pipe != keys.pipe
    sealer, opener = Sealer(keys.pipe), Opener(keys.pipe)
    sealed = [sealer.datagram(keys.pipe_name, b"%d" % n) for n in range(3000)]
    order = [0, 2, 1, 1500, 700, 1499]
    assert [opener.datagram(sealed[n]) for n in order] == [b"%d" % n for n in order]
    for n in [*order, 100]:  # 100 is too old to be sure of
        with pytest.raises(SealError):
            opener.datagram(sealed[n])
    for at in (0, NAME_BYTES, len(sealed[2999]) - 1):
        changed = bytearray(sealed[2999])
        changed[at] ^= 1
        with pytest.raises(SealError):
            opener.datagram(bytes(changed))
    assert opener.datagram(sealed[2999]) == b"2999", "what was forged hides nothing"
    with pytest.raises(SealError):
        opener.datagram(b"")

    # Of a stream each message is opened in its order only.
    said, heard = Sealer(keys.to_called), Opener(keys.to_called)
    first, second = said.seal(b"first"), said.seal(b"second")
    assert heard.open(first) == b"first"
    assert heard.open(second) == b"second"
    with pytest.raises(SealError):
        heard.open(second)
