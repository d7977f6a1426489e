"""What a socket has no room for waits, and leaves in order, sound first; how much may wait is limited."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from media import backlog
from media.draft import Draft
from media.sender import Sender
from tests.media.viewers import GCM, Some, Viewer, drafts, inside, payloads

_SIZE = 1000
_VIEWERS = 12


@pytest.fixture
def sending() -> Iterator[socket.socket]:
    """A socket that has room for a few packets; over UDP nothing waits on one machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        yield sock


@pytest.fixture
def sender(sending: socket.socket) -> Iterator[Sender]:
    one = Sender(sending)
    yield one
    one.close()


@pytest.fixture
def viewers() -> Iterator[list[Viewer]]:
    made = [Viewer(socket.AF_UNIX, GCM) for _ in range(_VIEWERS)]
    yield made
    for one in made:
        one.socket.close()


def send(
    sender: Sender, viewers: Sequence[Viewer], first: int, *, pictures: bool = True, of: object = None
) -> list[Draft]:
    """Send each a few packets, one burst for each packet; return them."""
    sent = []
    for n in range(5):
        burst = drafts(first + n, [_SIZE if pictures else 90])
        sender.burst(burst, [Some([one.target for one in viewers])], pictures=pictures, of=of)
        sent += burst
    return sent


async def read(viewers: Sequence[Viewer]) -> list[list[bytes]]:
    """Read until nothing comes any more."""
    found: list[list[bytes]] = [[] for _ in viewers]
    quiet = 0
    while quiet < 5:
        await asyncio.sleep(0.002)
        came = [one.read() for one in viewers]
        for mine, packets in zip(found, came, strict=True):
            mine.extend(payloads(packets))
        quiet = 0 if any(came) else quiet + 1
    return found


async def test_what_waits_arrives_in_order(sender: Sender, viewers: list[Viewer]) -> None:
    sent = send(sender, viewers, 1)
    assert 0 < sender.waited < sender.sent == 5 * _VIEWERS
    assert await read(viewers) == [inside(sent)] * _VIEWERS
    assert sender.dropped == 0
    waited = sender.waited
    more = drafts(100, [_SIZE])  # there is room again
    sender.burst(more, [Some([viewers[0].target])], pictures=True)
    assert payloads(viewers[0].read()) == inside(more)
    assert sender.waited == waited


async def test_sound_leaves_before_pictures_that_wait(sender: Sender, viewers: list[Viewer]) -> None:
    picture = inside(send(sender, viewers, 1))
    waited = sender.waited
    sound = inside(send(sender, viewers, 11, pictures=False))
    assert sender.waited > waited  # the sound, too
    found = await read(viewers)
    for mine in found:
        assert [one for one in mine if one in picture] == picture
        assert [one for one in mine if one in sound] == sound
    last = found[-1]
    assert max(map(last.index, sound)) < max(map(last.index, picture))
    assert last.index(sound[0]) < last.index(picture[-1])


async def some_left(sender: Sender, viewers: Sequence[Viewer]) -> list[list[bytes]]:
    """Let a part of a batch that waits leave; return what came of it so far."""
    waiting = list(sender._backlog._pictures)
    found = [payloads(one.read()) for one in viewers]
    await asyncio.sleep(0.002)
    assert any(0 < batch.done < len(batch.targets) for batch in waiting)
    return found


async def test_sound_may_leave_between_two_parts_of_a_batch(sender: Sender, viewers: list[Viewer]) -> None:
    picture = inside(send(sender, viewers, 1))
    before = await some_left(sender, viewers)
    sound = inside(send(sender, viewers, 11, pictures=False))
    for came, more in zip(before, await read(viewers), strict=True):
        assert sorted(came + more) == sorted(picture + sound)


async def test_who_is_gone_is_sent_nothing_that_waited(sender: Sender, viewers: list[Viewer]) -> None:
    sent = inside(send(sender, viewers, 1))
    before = await some_left(sender, viewers)
    gone = viewers[-1]
    assert payloads(gone.read()) != sent
    sender.forget(gone.target[0])
    found = [came + more for came, more in zip(before, await read(viewers), strict=True)]
    assert found == [sent] * (_VIEWERS - 1) + [[]]
    assert sender._backlog._octets == 0


async def test_who_comes_after_somebody_who_is_gone_is_sent_everything(
    sender: Sender, viewers: list[Viewer]
) -> None:
    sent = inside(send(sender, viewers, 1))
    sender.forget(viewers[-1].target[0])
    sent += inside(send(sender, viewers, 11))
    found = await read(viewers)
    assert found[:-1] == [sent] * (_VIEWERS - 1)
    assert found[-1][-5:] == sent[-5:]
    assert len(found[-1]) < len(sent)


async def test_what_is_of_somebody_who_is_gone_is_taken_back(sender: Sender, viewers: list[Viewer]) -> None:
    gone, stays = object(), object()
    theirs = inside(send(sender, viewers, 1, of=gone))
    before = await some_left(sender, viewers)
    others = inside(send(sender, viewers, 11, of=stays))
    sender.forget(gone)
    found = [came + more for came, more in zip(before, await read(viewers), strict=True)]
    for mine in found:
        assert mine[-5:] == others
        assert mine[:-5] == theirs[: len(mine) - 5]
    assert sum(map(len, found)) < len(viewers) * (len(theirs) + len(others)) - 15


async def test_what_has_waited_too_long_is_dropped(
    sender: Sender, viewers: list[Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    send(sender, viewers, 1)
    at_once = sender.sent - sender.waited
    await asyncio.sleep(backlog._MOST_SECONDS + 0.05)  # for which nobody reads
    assert sum(map(len, await read(viewers))) == at_once
    assert sender.dropped == sender.waited
    send(sender, viewers, 11)
    assert [len(one) for one in await read(viewers)] == [5] * _VIEWERS


async def test_it_says_whether_it_is_behind(sender: Sender, viewers: list[Viewer]) -> None:
    assert not sender.is_behind
    send(sender, viewers, 1, pictures=False)
    assert sender.is_behind
    await read(viewers)
    assert not sender.is_behind
    send(sender, viewers, 11)
    assert sender.is_behind


async def test_sound_that_waits_alone_is_not_overtaken_by_pictures(
    sender: Sender, viewers: list[Viewer]
) -> None:
    sound = inside(send(sender, viewers, 1, pictures=False) + send(sender, viewers, 11, pictures=False))
    assert sender.waited > 0
    before = [payloads(one.read()) for one in viewers]  # there is room again, and nobody has noticed
    picture = inside(send(sender, viewers, 21))
    found = [came + more for came, more in zip(before, await read(viewers), strict=True)]
    assert found == [sound + picture] * _VIEWERS


async def test_what_would_be_too_much_is_dropped_and_counted(
    sender: Sender, viewers: list[Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_MOST", 20 * _SIZE)
    monkeypatch.setattr(backlog, "_MOST_SOUND", 0)
    for first in (1, 101, 201):  # what left makes room
        sent, dropped = sender.sent, sender.dropped
        send(sender, viewers, first)
        sent, dropped = sender.sent - sent, sender.dropped - dropped
        assert 0 < dropped < sent - 15
        assert sum(map(len, await read(viewers))) == sent - dropped


async def test_what_cannot_be_sent_any_more_is_counted(sender: Sender, viewers: list[Viewer]) -> None:
    sent = inside(send(sender, viewers, 1))
    viewers[-1].socket.close()
    assert await read(viewers[:-1]) == [sent] * (_VIEWERS - 1)
    assert 0 < sender.dropped <= len(sent)


async def test_single_datagrams_wait_as_sound_does(
    sender: Sender, viewers: list[Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = inside(send(sender, viewers, 1))
    there = viewers[0]
    monkeypatch.setattr("media.sender.socket_name", lambda _path: there.name)
    single = os.urandom(200)
    sender.single(single, there.socket.getsockname())
    found: list[bytes] = []
    for _ in range(200):
        await asyncio.sleep(0.001)
        with contextlib.suppress(BlockingIOError):
            found.append(there.socket.recv(2048))
        for one in viewers[1:]:
            one.read()
    assert single in found
    assert found.index(single) < len(found) - 1
    assert len(found) == 1 + len(picture)
