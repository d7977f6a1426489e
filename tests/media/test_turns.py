"""A large picture for hundreds leaves in parts: sound and other pictures go between them."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest

from media.draft import NONE
from media.rtp import HEADER
from media.sender import Sender
from media.slot import Slot, stage
from media.srtp import Target
from media.strand import Strand
from media.view import View
from tests.media.listeners import Direct
from tests.media.teacher import camera
from tests.media.viewers import GCM, Some, Viewer, drafts, inside, payloads

_VIEWERS = 200
_AGES = 60.0  # seconds: longer than a machine may stand still
_SSRC = {"screen": 1, "camera": 2, None: 3}


def unhurried(sender: Sender) -> None:
    """Nothing has waited long yet, however slow the machine is."""
    for one in sender._unfinished:
        one.began += _AGES


@pytest.fixture
def sender() -> Iterator[Sender]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        one = Sender(sock)
        yield one
        one.close()


@pytest.fixture
def viewers() -> Iterator[list[Viewer]]:
    with contextlib.ExitStack() as stack:
        made = [Viewer(socket.AF_INET, GCM) for _ in range(_VIEWERS)]
        for one in made:
            stack.enter_context(one.socket)
        yield made


def send(
    sender: Sender, viewers: Sequence[Viewer], of: str | None, *, first: int = 1, packets: int = 16
) -> list[bytes]:
    """Send everybody a picture, or sound of nobody's; return what is in its packets."""
    burst = drafts(first, [1000] * packets if of else [90], _SSRC[of])
    sender.burst(burst, [Some([one.target for one in viewers])], pictures=of is not None, of=of)
    return inside(burst)


def read(viewers: Sequence[Viewer]) -> list[list[bytes]]:
    return [payloads(one.read()) for one in viewers]


async def all_left(sender: Sender) -> int:
    """Wait until nothing is left to be sent; return how often others had their turn meanwhile."""
    turns = 0
    while sender._unfinished:
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_a_large_picture_leaves_in_parts_and_whole(sender: Sender, viewers: list[Viewer]) -> None:
    burst = send(sender, viewers, "screen")
    first = read(viewers)
    assert first[0] == burst
    assert first[-1] == []
    assert sender.sent == 16 * sum(map(bool, first))
    assert await all_left(sender) >= 3
    rest = read(viewers)
    assert [came + more for came, more in zip(first, rest, strict=True)] == [burst] * _VIEWERS
    assert sender.sent == 16 * _VIEWERS


async def test_a_small_class_has_its_picture_at_once(sender: Sender, viewers: list[Viewer]) -> None:
    few = viewers[:40]
    burst = send(sender, few, "screen")
    assert read(few) == [burst] * len(few)


async def test_sound_and_other_pictures_go_between_the_parts(sender: Sender, viewers: list[Viewer]) -> None:
    screen = send(sender, viewers, "screen")
    sound = send(sender, viewers, None)
    camera = send(sender, viewers[-20:], "camera", packets=5)
    unhurried(sender)
    await all_left(sender)
    found = read(viewers)
    assert found[-1] == sound + camera + screen
    assert found[0] == screen + sound


async def test_of_large_pictures_the_one_of_which_least_is_left_goes_first(
    sender: Sender, viewers: list[Viewer]
) -> None:
    screen = send(sender, viewers, "screen")
    camera = send(sender, viewers, "camera", packets=5)
    read(viewers)  # the first part of both has left
    unhurried(sender)
    served = []
    while sender._unfinished:
        await asyncio.sleep(0)
        came = read(viewers)
        served.append([source[0] for source in (screen, camera) if source in came])
    assert served[0] == camera[:1]
    assert len(served) > 2
    assert all(one == screen[:1] for one in served[1:])


async def test_what_has_waited_long_goes_first_though_it_is_large(
    sender: Sender, viewers: list[Viewer]
) -> None:
    screen = send(sender, viewers, "screen")
    camera = send(sender, viewers, "camera", packets=5)
    read(viewers)
    unhurried(sender)
    sender._unfinished[0].began -= 2 * _AGES
    await asyncio.sleep(0)
    came = read(viewers)
    assert screen in came
    assert camera not in came


async def test_no_picture_is_overtaken_by_the_next_of_its_source(
    sender: Sender, viewers: list[Viewer]
) -> None:
    sent = send(sender, viewers, "screen")
    sent += send(sender, viewers, "screen", first=17)
    await all_left(sender)
    assert read(viewers) == [sent] * _VIEWERS


async def test_a_keyframe_of_several_bursts_leaves_in_parts_and_what_is_more_at_once(
    sender: Sender, viewers: list[Viewer]
) -> None:
    sent = [send(sender, viewers, "screen", first=1 + 16 * n) for n in range(4)]
    first = read(viewers)
    assert sum(map(len, first)) == sender.sent <= 640
    sent.append(send(sender, viewers, "screen", first=65))
    more = read(viewers)
    assert [a + b for a, b in zip(first, more, strict=True)] == [sent[0]] * _VIEWERS
    await all_left(sender)
    assert read(viewers) == [[packet for burst in sent[1:] for packet in burst]] * _VIEWERS


async def test_nothing_is_sent_of_nothing(sender: Sender, viewers: list[Viewer]) -> None:
    sender.burst([], [Some([viewers[0].target])], pictures=True)
    assert sender.sent == 0
    assert not sender._unfinished


class _Watcher(Direct):
    """A viewer's connection over UDP."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def target(self) -> Target:
        return self._viewer.target

    def send_rtp(self, packet: bytes) -> None:
        raise AssertionError("no past is asked for")


def _frame(strand: Strand, picture: int) -> None:
    """Let a keyframe of ten packets come."""
    for n in range(10):
        head = bytes((0x90 if n == 0 else 0x80, 0xC0, 0x80, picture, picture, 0))
        strand.forward(head + bytes(1000), 0x80 if n == 9 else 0, 10 * picture + n, 3000 * picture)


def _sequences(viewer: Viewer) -> list[int]:
    return [HEADER.unpack_from(one)[2] for one in viewer.read()]


async def test_who_leaves_a_quality_has_all_of_it_first_and_nothing_after(
    sender: Sender, viewers: list[Viewer]
) -> None:
    slot = Slot(next(one for one in stage() if one.source == "camera"), sender)
    views = [View(slot, _Watcher(one)) for one in viewers]
    for view in views:
        view.watch(0)
    views[-2].watch(1)
    _frame(slot.strands[0], 1)
    assert sender._unfinished
    views[-1].watch(None)
    assert len(_sequences(viewers[-1])) == 10
    _frame(slot.strands[0], 2)
    assert sender._unfinished
    _frame(slot.strands[1], 3)
    await all_left(sender)
    assert _sequences(viewers[-1]) == []
    came = _sequences(viewers[-2])
    assert came == list(range(came[0], came[0] + 30))
    slot.close()


async def test_nothing_leaves_of_who_is_muted_or_off_the_stage(sender: Sender, viewers: list[Viewer]) -> None:
    slot = Slot(next(one for one in stage() if one.source == "camera"), sender)
    producer = camera(slot)
    slot.take(producer)
    views = [View(slot, _Watcher(one)) for one in viewers]
    for view in views:
        view.watch(0)
    strand = slot.strands[0]
    ends: list[Callable[[], None]] = [lambda: producer.pause(paused=True), producer.close]
    for picture, stop in enumerate(ends, 1):
        _frame(strand, picture)
        assert sender._unfinished
        assert strand.again(strand.last(NONE), NONE)
        stop()
        came = [_sequences(one) for one in viewers]
        assert [len(one) for one in came] == [10] * _VIEWERS
        await asyncio.sleep(0.01)
        assert not any(one.read() for one in viewers)
    assert strand.again(strand.last(NONE), NONE) is None, "nor is it sent again"
    slot.close()


async def test_who_or_what_is_gone_is_left_out_of_the_parts_to_come(
    sender: Sender, viewers: list[Viewer]
) -> None:
    send(sender, viewers, "screen")
    camera = send(sender, viewers, "camera")
    before = read(viewers)
    sender.forget("screen")
    sender.forget(viewers[-2].target[0])
    await all_left(sender)
    found = [came + more for came, more in zip(before, read(viewers), strict=True)]
    assert found[-3:] == [camera, [], camera]
    send(sender, viewers, "screen", first=101)
    for one in viewers:  # all who are left
        sender.forget(one.target[0])
    await all_left(sender)
    assert not any(read(viewers[-3:]))
