"""A worker fills a few links at once; who is not among them has their turn later."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from media import probes
from media.dtls import Certificate
from media.formats import VP8
from media.mux import Mux
from media.probes import Probes
from media.programme import Picture, Programme
from media.slot import Slot, stage
from media.srtp import Protector, Unprotector
from media.subscribing import SubscribeTransport
from media.transport import Wiring


class _Link:
    """Is filled so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def probe(self, _now: float) -> bool:
        self.left -= 1
        return self.left > 0


class _Broken:
    def probe(self, _now: float) -> bool:
        raise KeyError("a bug")


def test_no_more_than_so_many_are_filled_at_once() -> None:
    some = Probes()
    for n in range(probes.MOST):
        assert some.have_room
        some.begin(_Link(times=1 + n % 2))
    assert not some.have_room
    some.tick(0.0)
    assert some.have_room
    for _ in range(probes.MOST // 2):
        assert some.have_room
        some.begin(_Link(times=9))
    assert not some.have_room


def test_one_that_goes_on_takes_no_second_place() -> None:
    some, link = Probes(), _Link(times=9)
    for _ in range(probes.MOST + 1):
        some.begin(link)
    assert some.have_room


def test_a_link_that_fails_does_not_stop_the_others() -> None:
    some, links = Probes(), [_Link(times=5), _Link(times=5)]
    some.begin(links[0])
    some.begin(_Broken())
    some.begin(links[1])
    for _ in range(3):
        some.tick(0.0)
    assert [link.left for link in links] == [2, 2]


@pytest.fixture
def mux() -> Iterator[Mux]:
    made = Mux("127.0.0.1", 0)
    yield made
    made.sender.close()
    made._socket.close()


async def test_a_viewer_whose_link_might_carry_more_waits_until_there_is_room(
    mux: Mux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "MOST", 2)
    wiring = Wiring(
        mux=mux,
        certificate=Certificate(),
        protector=Protector(),
        unprotector=Unprotector(),
        candidates=[],
        probes=Probes(),
        tag="w0",
    )
    slot = Slot(next(one for one in stage() if one.source == "camera"), mux.sender)
    shown = Programme([Picture(slot, VP8, 1, [120_000.0, 400_000.0, 1_600_000.0], [180, 360, 720])])
    links = [_viewer(wiring, slot, n) for n in range(3)]
    for link in links:
        link.aim(shown)
    await asyncio.sleep(1.1)  # the first time it may be tried
    for link in links:
        link.aim(shown)
    assert [link.bandwidth.is_probing for link in links] == [True, True, False]
    links[0].bandwidth.give_up_probe(time.monotonic())
    wiring.probes.tick(time.monotonic())
    links[2].aim(shown)
    assert links[2].bandwidth.is_probing


def _viewer(wiring: Wiring, slot: Slot, n: int) -> SubscribeTransport:
    """A connection with keys, though they are none."""
    keys: Any = object()
    made = SubscribeTransport(
        wiring, lambda *_: None, f"s{n}", [slot], on_ready=lambda: None, on_quality=lambda _told: None
    )
    made._srtp_out, made.state = keys, "connected"
    return made
