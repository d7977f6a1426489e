"""A worker fills a few links at once; who is not among them has their turn later."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from media import probes
from media.dtls import Certificate
from media.formats import VP8
from media.mux import Mux
from media.offer import counts_in
from media.player import PlayerTransport
from media.probes import Probes
from media.programme import Picture, Programme
from media.rtcp import TransportFeedback
from media.rtp import URI_TRANSPORT_SEQUENCE
from media.sdp import parse
from media.slot import Slot, stage
from media.srtp import Protector, Unprotector
from media.subscribing import SubscribeTransport
from media.transport import Wiring
from tests.builders import until
from tests.media.peers import bench
from tests.media.test_retransmission import _View


class _Link:
    """Is filled so many times."""

    def __init__(self, times: int = 1) -> None:
        self.left = times
        self.given_up = 0

    def probe(self, _now: float) -> bool:
        self.left -= 1
        return self.left > 0

    def give_up_probe(self, _now: float) -> None:
        self.given_up += 1


class _Broken(_Link):
    tried = 0

    def probe(self, _now: float) -> bool:
        self.tried += 1
        raise KeyError("a bug")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Probes:
    """Two links at once."""
    monkeypatch.setattr(probes, "MOST", 2)
    return Probes()


def _asks(some: Probes, link: _Link, now: float = 0.0) -> bool:
    """Ask as a connection does."""
    may = some.may_begin(link, now)
    if may:
        some.begin(link)
    return may


def test_no_more_than_so_many_are_filled_at_once(two: Probes) -> None:
    links = [_Link(times=1), _Link(times=9), _Link(times=9)]
    assert [_asks(two, link) for link in links] == [True, True, False]
    two.tick(0.0)
    assert _asks(two, links[2])
    assert not _asks(two, links[0])


def test_one_that_goes_on_takes_no_second_place(two: Probes) -> None:
    link = _Link(times=9)
    for _ in range(3):
        two.begin(link)
    assert _asks(two, _Link())


def test_who_waits_longest_is_next_whoever_asks_first(two: Probes) -> None:
    links = [_Link() for _ in range(20)]
    filled: list[int] = []
    for second in range(10):
        for n, link in enumerate(links):  # always in the same order, and those who were filled ask again
            if _asks(two, link, float(second)):
                filled.append(n)
        two.tick(float(second))
    assert sorted(filled) == list(range(20)), "everybody once"


def test_a_place_is_free_at_once_when_it_ends(two: Probes) -> None:
    links = [_Link(times=9) for _ in range(3)]
    assert [_asks(two, link) for link in links] == [True, True, False]
    two.end(links[0])
    assert _asks(two, links[2])


def test_who_asks_no_more_holds_nobody_up(two: Probes) -> None:
    links = [_Link(times=99) for _ in range(6)]
    for link in links[:5]:
        _asks(two, link)
    two.forget(links[2])  # is closed
    for link in links[:2]:
        two.end(link)
    assert not _asks(two, links[5]), "two came before"
    assert not _asks(two, links[5], 2.0)
    two.tick(3.0)
    assert _asks(two, links[5], 3.0)


def test_a_link_that_fails_is_given_up_and_does_not_stop_the_others() -> None:
    some, links, broken = Probes(), [_Link(times=5), _Link(times=5)], _Broken()
    for link in (links[0], broken, links[1]):
        some.begin(link)
    for _ in range(3):
        some.tick(0.0)
    assert [link.left for link in links] == [2, 2]
    assert (broken.tried, broken.given_up) == (1, 1)


async def test_a_worker_fills_them_as_it_ticks(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        link = _Link(times=3)
        made.worker.orders._wiring.probes.begin(link)
        await until(lambda: link.left == 0, 3)


@pytest.fixture
def wiring(mux: Mux) -> Wiring:
    return Wiring(
        mux=mux,
        certificate=Certificate(),
        protector=Protector(),
        unprotector=Unprotector(),
        candidates=[],
        probes=Probes(),
        tag="w0",
    )


def _camera(wiring: Wiring) -> Slot:
    return Slot(next(one for one in stage() if one.source == "camera"), wiring.mux.sender)


async def test_a_viewer_whose_link_might_carry_more_waits_until_there_is_room(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "MOST", 2)
    slot = _camera(wiring)
    shown = Programme([Picture(slot, VP8, 1, [120_000.0, 400_000.0, 1_600_000.0], [180, 360, 720])])
    links = [_viewer(wiring, slot, n) for n in range(3)]
    for link in links:
        link.aim(shown)
    await asyncio.sleep(1.1)  # the first time it may be tried
    for link in links:
        link.aim(shown)
    assert [link.bandwidth.is_probing for link in links] == [True, True, False]
    links[0].bandwidth.give_up_probe(time.monotonic())  # as one that is over
    for link in links:
        link.aim(shown)
    assert [link.bandwidth.is_probing for link in links] == [False, True, True]
    links[1].close()
    links[0].bandwidth._next_probe = 0.0
    links[0].aim(shown)
    assert links[0].bandwidth.is_probing, "who is gone fills no place"
    links[0].give_up_probe(time.monotonic())
    assert not links[0].probe(time.monotonic())


def _offered(wiring: Wiring) -> str:
    return _viewer(wiring, _camera(wiring), 0).offer(restart=False)


@pytest.mark.parametrize(
    ("said", "instead", "extension"),
    [
        ("nothing", "else", 4),
        (" transport-cc", " ccm fir", None),
        ("extmap:4 ", "extmap:7 ", 7),
        (f"a=extmap:4 {URI_TRANSPORT_SEQUENCE}\r\n", "", None),
        ("m=video 9", "m=video 0", None),
    ],
)
async def test_who_takes_numbers_says_in_which_extension(
    wiring: Wiring, said: str, instead: str, extension: int | None
) -> None:
    assert counts_in(parse(_offered(wiring).replace(said, instead))) == extension


async def test_pictures_that_are_not_counted_alike_are_not_counted(wiring: Wiring) -> None:
    slots = [Slot(one, wiring.mux.sender) for one in stage() if one.kind == "video"][:2]
    viewer = SubscribeTransport(
        wiring, lambda *_: None, "s0", slots, on_ready=lambda: None, on_quality=lambda _told: None
    )
    sdp = viewer.offer(restart=False)
    assert counts_in(parse(sdp)) == 4
    assert counts_in(parse(sdp.replace("extmap:4 ", "extmap:5 ", 1))) is None
    assert (
        counts_in(parse(sdp.replace("m=video 9", "m=video 0", 1).replace("extmap:4 ", "extmap:5 ", 1))) == 4
    )


async def test_a_page_that_takes_numbers_is_probed_with_them_and_a_player_is_not(wiring: Wiring) -> None:
    answer = _offered(wiring).replace("a=sendonly", "a=recvonly").replace("a=setup:actpass", "a=setup:active")
    viewer, player = _viewer(wiring, _camera(wiring), 1), _player(wiring)
    viewer.accept(parse(answer))
    assert viewer._probe.is_counted
    said = player.take(parse(answer))
    assert "transport-cc" not in said
    assert not player._probe.is_counted
    for one in (viewer, player):
        one.close()


@pytest.mark.parametrize(("lost", "goes_on"), [(0, True), (3, True), (30, False)])
async def test_a_probe_whose_packets_are_told_to_be_missing_ends(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch, *, lost: int, goes_on: bool
) -> None:
    sent: list[bytes] = []
    monkeypatch.setattr(SubscribeTransport, "send_rtp", lambda _self, packet: sent.append(packet))
    view: Any = _View()
    viewer = _viewer(wiring, view.slot, 1)
    viewer._probe.is_counted = True
    viewer.bandwidth.on_sent(180_000)
    began = time.monotonic() - 0.3
    for at in (began - 1, began):
        viewer.bandwidth.tick(at, 2_000_000)
    assert viewer.bandwidth.is_probing
    viewer._probe.begin({})
    for n in range(12):
        viewer._probe.fill(2_000_000, [view], began + 0.02 * n)
    arrivals = [None if n < lost else 500.0 + n / 1000 for n in range(len(sent))]
    assert len(sent) > 40
    viewer.on_report(TransportFeedback(0, tuple(arrivals)))
    assert viewer.bandwidth.is_probing == goes_on
    viewer.close()


async def test_a_probe_that_fails_leaves_the_picture_as_it_is_though_its_rate_wavers(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SubscribeTransport, "send_rtp", lambda _self, _packet: None)
    slot = _camera(wiring)
    viewer = _viewer(wiring, slot, 1)
    view = viewer._views[slot.place.ssrc]

    def aim(rate: float) -> int | None:
        viewer.aim(Programme([Picture(slot, VP8, 1, [120_000.0, rate, 1_600_000.0], [180, 360, 720])]))
        return view.wanted

    viewer.bandwidth.budget = 480_000.0
    assert aim(400_000.0) == 1
    view.strand = slot.strands[1]  # it has come over
    viewer.bandwidth._next_probe = 0.0
    assert aim(400_000.0) == 1
    assert viewer.bandwidth.is_probing
    viewer.bandwidth.on_arrivals(0, time.monotonic(), held_up=True)
    assert not viewer.bandwidth.is_probing
    assert aim(440_000.0) == 1
    assert aim(460_000.0) == 1
    view.strand = None
    viewer.close()


@pytest.mark.parametrize(
    ("carried", "limit", "probes"), [(100_000.0, 200_000, True), (400_000.0, 200_000, False)]
)
async def test_over_a_link_that_carried_less_than_ones_own_limit_more_is_looked_for_up_to_that_for_slides(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch, *, carried: float, limit: int, probes: bool
) -> None:
    monkeypatch.setattr(SubscribeTransport, "send_rtp", lambda _self, _packet: None)
    slot = next(Slot(one, wiring.mux.sender) for one in stage() if one.source == "screen")
    viewer = _viewer(wiring, slot, 1)
    viewer.show({slot.place.mid: 720}, limit)
    viewer.bandwidth.budget, viewer.bandwidth._next_probe = carried, 0.0
    viewer.aim(Programme([Picture(slot, VP8, 0, [120_000.0, 1_500_000.0], [360, 720])]))
    assert viewer._holds_slides
    assert viewer.bandwidth.is_probing == probes
    if probes:
        assert viewer.bandwidth.probe_rate(time.monotonic() + 1.2) <= 1.1 * limit
    viewer.close()


def _player(wiring: Wiring) -> PlayerTransport:
    return PlayerTransport(wiring, lambda *_: None, "p", [_camera(wiring)], on_ready=lambda: None)


def _viewer(wiring: Wiring, slot: Slot, n: int) -> SubscribeTransport:
    """A connection with keys, though they are none."""
    keys: Any = object()
    made = SubscribeTransport(
        wiring, lambda *_: None, f"s{n}", [slot], on_ready=lambda: None, on_quality=lambda _told: None
    )
    made._srtp_out, made.state = keys, "connected"
    return made
