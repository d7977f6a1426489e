"""Which quality goes to whom: allocation, the estimate of a link, numbers without a gap over every change."""

import itertools
import struct
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp, vp8
from media.allocation import Demand, allocate
from media.arrivals import Arrivals
from media.bandwidth import START, Bandwidth
from media.draft import NONE, Shift
from media.formats import VP8
from media.red import primary
from media.rtcp import KeyframeRequest
from media.rtp import HEADER, HEADER_SIZE, SEND_TIME_SIZE
from media.sdp import SdpError, parse
from media.slot import Slot, stage
from media.speakers import Speakers
from media.strand import Strand
from media.trickle import Trickle
from media.view import View
from tests.media.listeners import Direct
from tests.media.teacher import camera

# Allocation

_DEMANDS = st.lists(
    st.builds(
        lambda rank, rates, most, held: Demand(str(rank), rank, sorted(rates), most, held),
        rank=st.integers(0, 20),
        rates=st.lists(st.integers(30_000, 3_000_000), min_size=1, max_size=3),
        most=st.integers(-1, 2),
        held=st.none() | st.integers(0, 2),
    ),
    max_size=8,
    unique_by=lambda demand: demand.mid,
)


@given(budget=st.integers(0, 10_000_000), demands=_DEMANDS)
def test_no_more_is_given_than_the_link_carries(budget: int, demands: list[Demand]) -> None:
    found = allocate(budget, demands)
    given_to = [d for d in demands if found.qualities[d.mid] is not None]
    assert found.rate <= budget or len(given_to) == 1, "one picture is always tried"
    for demand in demands:
        quality = found.qualities[demand.mid]
        assert quality is None or 0 <= quality <= max(0, demand.most)
        assert demand.most >= 0 or quality is None
    assert found.step is None or found.step >= found.rate


@given(budget=st.integers(0, 10_000_000), more=st.integers(0, 5_000_000), demands=_DEMANDS)
def test_a_better_link_serves_the_first_in_rank_no_worse(
    budget: int, more: int, demands: list[Demand]
) -> None:
    def served(carried: int) -> list[bool]:
        found = allocate(carried, demands).qualities
        return [found[one.mid] is not None for one in sorted(demands, key=lambda one: one.rank)]

    assert served(budget + more) >= served(budget)


def test_the_first_in_rank_is_served_first() -> None:
    camera = (120_000, 400_000, 1_200_000)
    demands = [Demand("screen", 0, (300_000, 1_500_000), 1), Demand("teacher", 1, camera, 2)]
    demands.append(Demand("student", 2, camera, 2))
    assert allocate(450_000, demands).qualities == {"screen": 0, "teacher": 0, "student": None}
    assert allocate(2_000_000, demands).qualities == {"screen": 1, "teacher": 0, "student": 0}
    assert allocate(9_000_000, demands).qualities == {"screen": 1, "teacher": 2, "student": 2}


def test_a_rate_that_wavers_does_not_throw_a_quality_out() -> None:
    rates = (120_000, 400_000, 1_100_000)
    assert allocate(1_000_000, [Demand("1", 0, rates, 2)]).qualities["1"] == 1
    assert allocate(1_000_000, [Demand("1", 0, rates, 2, held=2)]).qualities["1"] == 2
    assert allocate(800_000, [Demand("1", 0, rates, 2, held=2)]).qualities["1"] == 1


# The link


def test_a_probe_that_nothing_suffers_from_raises_the_budget() -> None:
    link = Bandwidth()
    link.on_sent(400_000)
    for tenth in range(40):
        link.on_remb(600_000, tenth / 10)
        link.tick(tenth / 10, 1_300_000)
    assert link.budget >= 1_300_000


def test_a_probe_that_does_not_fit_costs_nothing_but_patience() -> None:
    link = Bandwidth()
    link.budget, now, probes = 300_000.0, 0.0, 0
    link.on_sent(200_000)
    while now < 60:
        now += 0.1
        was = link.is_probing
        link.tick(now, 450_000)
        probes += bool(link.is_probing and not was)
        link.on_remb(290_000 if link.probe_rate(now) > 300_000 else 320_000, now)
    assert 5 <= probes <= 9, "the longest wait between two is ten seconds"
    assert 200_000 <= link.budget <= 330_000


def test_a_probe_rises_and_ends_with_the_first_packets_that_are_missing() -> None:
    link = Bandwidth()
    link.budget = 200_000.0
    link.on_sent(190_000)
    link.tick(0.0, 500_000)
    link.tick(1.0, 500_000)
    assert 190_000 <= link.probe_rate(1.0) < 200_000
    assert 340_000 < link.probe_rate(1.5) < 380_000
    link.on_nack([1, 2], 1.5)
    link.on_nack([1, 2], 1.55)
    assert link.is_probing, "one or two may be missing anywhere"
    link.on_nack(range(12), 1.6)
    assert not link.is_probing
    assert link.is_full(1.7), "little is sent again meanwhile"
    assert link.settles(3.0), "what is reported now was answered already"
    assert not link.is_overloaded(1.7)
    assert link.budget == 190_000


def test_what_is_carried_for_a_while_is_believed_and_a_trial_is_not_yet() -> None:
    link = Bandwidth()
    link.on_sent(180_000)
    link.on_loss(0.5, 10.0)
    assert link.budget < 160_000
    for second in range(11, 20):
        link.tick(float(second), None)
        link.on_loss(0.0, float(second))
    assert link.budget >= 180_000
    link.on_loss(0.5, 20.0)
    fallen = link.budget
    link.rest(20.0)
    assert link.settles(22.5), "the first report tells of before the rest"
    for at in (22.5, 23.5, 24.5, 25.5):
        assert link.on_trial(at)
        link.tick(at, 500_000)
        assert link.budget == fallen
        assert not link.is_probing
    link.on_nack(range(4), 25.7)
    assert link.on_trial(25.7), "of sixty packets four may be missing"
    link.on_nack(range(16), 25.8)
    assert link.rests(25.9), "a queue that is full says so before any report does"


def test_one_fall_is_a_busy_browser_and_two_are_a_full_link() -> None:
    link = Bandwidth()
    link.on_sent(1_000_000)
    link.on_remb(1_100_000, 1.0)
    link.on_remb(700_000, 1.2)
    assert link.budget == START
    link.on_remb(400_000, 1.5)
    assert link.budget == 400_000
    assert link.is_overloaded(2.0)


def test_a_fall_that_goes_on_is_followed_and_is_one_fall() -> None:
    link = Bandwidth()
    link.on_sent(950_000)
    for at, remb in ((1.0, 1_000_000), (1.2, 640_000), (1.4, 440_000)):
        link.on_remb(remb, at)
    assert link.budget == 440_000
    link.on_sent(190_000)
    link.on_remb(220_000, 1.6)
    assert link.budget == 220_000, "or a picture of 400 kb/s would be sent at once"
    link.on_remb(85_000, 1.8)
    assert link.budget == 85_000
    assert link.is_overloaded(3.3)
    assert not link.is_overloaded(3.5), "it is one fall"


def test_an_estimate_that_was_low_before_is_not_followed_when_packets_are_lost() -> None:
    """It may be far below what is carried for long, and says nothing new."""
    link = Bandwidth()
    link.on_sent(400_000)
    for tenth in range(10):
        link.on_remb(50_000, tenth / 10)
    link.on_loss(0.3, 1.0)
    link.on_remb(50_000, 1.2)
    assert link.budget > 300_000


def test_a_probe_sends_no_longer_than_it_lasts_and_is_judged_afterwards() -> None:
    link = Bandwidth()
    link.budget = 200_000.0
    link.on_sent(190_000)
    link.tick(0.0, 500_000)
    link.tick(1.0, 500_000)
    assert link.probe_rate(2.4) > 500_000
    assert not link.probe_rate(2.6)
    assert link.is_probing
    link.on_loss(0.7, 2.9)  # what is told now tells of it
    assert not link.is_probing
    assert link.budget == 190_000


def test_a_link_that_carries_no_picture_rests_longer_each_time_and_forgets_it_when_one_is_carried() -> None:
    link, now, rests = Bandwidth(), 100.0, []
    for _ in range(5):
        link.on_loss(0.5, now)
        assert link.suffers_since(now - 1, now)
        link.rest(now)
        began = now
        while link.rests(now):
            now += 0.1
        assert not link.suffers_since(now, now), "what was before the rest says nothing of the next picture"
        rests.append(round(now - began))
        now += 1
    assert rests == [2, 6, 18, 54, 60]
    now += 5  # one was carried
    link.on_loss(0.5, now)
    link.rest(now)
    assert not link.rests(now + 2.1)


def test_no_picture_is_tried_over_a_link_that_rests_nor_above_a_limit_of_ones_own() -> None:
    demand = Demand("1", 0, (120_000, 400_000), 1)
    assert allocate(50_000, [demand]).qualities == {"1": 0}
    assert allocate(50_000, [demand], tries=False).qualities == {"1": None}
    assert allocate(-10_000, [demand], tries=False).rate == 0


def test_loss_counts_for_those_who_tell_nothing_else() -> None:
    link = Bandwidth()
    link.on_sent(900_000)
    for second in range(10):
        link.on_loss(0.3, float(second))
    assert link.budget < 500_000
    calm = Bandwidth()
    for second in range(60):
        calm.on_loss(0.05, float(second))
    assert calm.budget == START, "a link that always loses a little is no full one"


# What a publisher is told


def _told(packet: bytes) -> dict[int, float]:
    """Read a transport feedback as its sender does; return sequence -> seconds."""
    (words,) = struct.unpack_from("!H", packet, 2)
    assert 4 * (words + 1) == len(packet)
    packet = packet[: len(packet) - (packet[-1] if packet[0] & 0x20 else 0)]
    base, count = struct.unpack_from("!HH", packet, 12)
    at = 20
    symbols: list[int] = []
    while len(symbols) < count:
        (word,) = struct.unpack_from("!H", packet, at)
        at += 2
        if word & 0x8000:
            symbols += [word >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [word >> 13] * (word & 0x1FFF)
    now, arrivals = int.from_bytes(packet[16:19], "big") * 256, {}
    for n, symbol in enumerate(symbols[:count]):
        if symbol == 1:
            now, at = now + packet[at], at + 1
        elif symbol == 2:
            now, at = now + struct.unpack_from("!h", packet, at)[0], at + 2
        if symbol:
            arrivals[(base + n) & 0xFFFF] = now * 0.00025
    assert at == len(packet)
    return arrivals


@given(
    steps=st.lists(st.tuples(st.integers(1, 4), st.floats(0, 0.3), st.booleans()), min_size=1, max_size=300),
    first=st.integers(0, 0xFFFF),
)
def test_what_is_told_of_arrivals_is_what_arrived(steps: list[tuple[int, float, bool]], first: int) -> None:
    arrivals, sequence, now = Arrivals(), first, 5000.0
    came: dict[int, float] = {}
    told: dict[int, float] = {}
    for step, passed, report in steps:
        sequence, now = (sequence + step) & 0xFFFF, now + passed
        arrivals.note(sequence, now)
        came[sequence] = now
        if report:
            for packet in arrivals.feedback(7):
                told |= _told(packet)
    for packet in arrivals.feedback(7):
        told |= _told(packet)
    assert told.keys() == came.keys()
    assert all(abs(told[n] - at) < 0.001 for n, at in came.items())


def test_a_count_that_leaps_about_is_told_of_in_a_few_reports_and_then_forgotten() -> None:
    arrivals = Arrivals()
    for n in range(200):
        arrivals.note(n * 399 & 0xFFFF, 5000.0 + n / 1000)
    reports = arrivals.feedback(7)
    assert 0 < len(reports) < 6
    assert arrivals.feedback(7) == []
    arrivals.note(200 * 399 & 0xFFFF, 5001.0)
    (report,) = arrivals.feedback(7)
    assert list(_told(report)) == [200 * 399 & 0xFFFF]


# Numbers


class _Watcher(Direct):
    """A viewer whose packets come back as (sequence, timestamp, picture, first of a keyframe)."""

    def __init__(self) -> None:
        self.got: list[tuple[int, int, int, bool]] = []
        self.tl0s: list[int] = []  # of the same packets

    def target(self) -> Any:
        return None

    def send_rtp(self, packet: bytes) -> None:
        _, _, sequence, timestamp, _ = HEADER.unpack_from(packet)
        payload = packet[HEADER_SIZE + SEND_TIME_SIZE :]
        picture, tl0 = vp8.numbers(payload)
        self.got.append((sequence, timestamp, picture, vp8.is_keyframe(payload)))
        self.tl0s.append(tl0)


def _frame(picture: int, *, key: bool = False) -> bytes:
    """The only packet of a VP8 frame with a 15-bit picture id and TL0PICIDX."""
    head = bytes((0x90, 0xC0, 0x80 | picture >> 8 & 0x7F, picture & 0xFF, picture + 7 & 0xFF))
    return head + bytes((0 if key else 1,)) + bytes(20)


class _Source:
    """One quality of a camera, numbered as it likes."""

    def __init__(self, strand: Strand, sequence: int, timestamp: int, picture: int) -> None:
        self.strand, self.sequence, self.timestamp, self.picture = strand, sequence, timestamp, picture

    def send(self, *, key: bool = False) -> int:
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + 3000) & 0xFFFFFFFF
        self.picture = (self.picture + 1) & 0x7FFF
        payload = _frame(self.picture, key=key)
        self.strand.forward(payload, 0x80, self.sequence, self.timestamp)
        return self.sequence


def _camera() -> tuple[Slot, list[_Source]]:
    nobody: Any = _Nobody()
    slot = Slot(next(one for one in stage() if one.source == "camera"), nobody)
    numbers = ((10, 0, 5), (0xFFF0, 0xFFFFFF00, 0x7FF0), (30_000, 1 << 31, 100))
    sources = [_Source(strand, *first) for strand, first in zip(slot.strands, numbers, strict=True)]
    for source in sources:
        source.send(key=True)
    return slot, sources


class _Nobody:
    def burst(self, _drafts: object, _audiences: object, *, pictures: bool, of: object) -> None: ...
    def forget(self, one: object) -> None: ...
    def finish(self, of: object) -> None: ...


@pytest.mark.parametrize("order", [(1, 2, 0, 2, 1), (0, 2), (2, 0, 1)])
async def test_a_viewer_sees_one_stream_over_every_change_of_quality(order: tuple[int, ...]) -> None:
    slot, sources = _camera()
    watcher = _Watcher()
    view = View(slot, watcher)
    for quality in order:
        view.watch(quality)
        for n in range(12):
            for source in sources:
                source.send(key=n == 3)
        assert view.quality == quality
    sequences = [one[0] for one in watcher.got]
    assert {(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)} == {1}
    pictures = [one[2] for one in watcher.got]
    assert {(b - a) & 0x7FFF for a, b in itertools.pairwise(pictures)} == {1}
    assert {(b - a) & 0xFF for a, b in itertools.pairwise(watcher.tl0s)} == {1}
    stamps = [one[1] for one in watcher.got]
    assert all(0 < (b - a) & 0xFFFFFFFF < 0x80000000 for a, b in itertools.pairwise(stamps))


@pytest.mark.parametrize("moved", [False, True])
async def test_who_stands_there_next_goes_on_in_the_same_numbers(moved: bool) -> None:
    """Also for who came over from another quality before."""
    slot, sources = _camera()
    watcher = _Watcher()
    view = View(slot, watcher)
    if moved:
        view.watch(2)
        sources[2].send(key=True)
    view.watch(1)
    sources[1].send(key=True)
    for _ in range(3):
        sources[1].send()
    strand = slot.strands[1]
    strand.take(None)
    following = _Source(strand, 60_000, 77, 0x1234)
    following.send()
    assert len(watcher.got) == 5 + moved, "it begins with a keyframe"
    following.send(key=True)
    strand.forward(_frame(0x1234), 0x80, 60_000, 77)  # it is late
    following.send()
    assert len(watcher.got) == 7 + moved
    for number, size in ((0, 1 << 16), (2, 1 << 15)):
        assert {(b[number] - a[number]) % size for a, b in itertools.pairwise(watcher.got)} == {1}
    stamps = [one[1] for one in watcher.got]
    assert all(0 < (b - a) & 0xFFFFFFFF < 0x80000000 for a, b in itertools.pairwise(stamps))


async def test_who_comes_over_goes_on_behind_the_newest_packet_though_an_older_one_came_last() -> None:
    _, sources = _camera()
    source = sources[1]
    source.send()
    newest = source.strand.numbers(NONE)
    source.strand.forward(_frame(source.picture - 1), 0, source.sequence - 1, source.timestamp - 3000)
    assert source.strand.numbers(NONE) == newest


async def test_another_quality_begins_with_a_keyframe_and_the_old_one_goes_on_until_then() -> None:
    slot, sources = _camera()
    watcher = _Watcher()
    view = View(slot, watcher)
    view.watch(1)
    for _ in range(5):
        sources[1].send()
    view.watch(2)
    for _ in range(5):
        sources[1].send()
        sources[2].send()
    assert len(watcher.got) == 11, "the keyframe from before they came, and what followed"
    sources[2].send(key=True)
    assert watcher.got[-1][3]
    sources[1].send()
    assert len(watcher.got) == 12


async def test_what_was_held_back_for_too_long_leaves_no_gap_and_is_not_sent_by_another_way() -> None:
    slot, sources = _camera()
    watcher = _Watcher()
    slides = Trickle(watcher)
    view = View(slot, slides)
    view.watch(0)
    for _ in range(5):
        sources[0].send()
    slides.hold(1000.0, view.last)
    slot.strands[0].regroup()
    for _ in range(10):
        sources[0].send()
    left = len(watcher.got)
    assert 6 <= left < 16
    assert view.last == watcher.got[-1][0]
    assert view.again(watcher.got[-1][0]) is not None
    assert view.again(watcher.got[-1][0] + 1) is None
    view.begin_anew()
    assert slides.unsent is None
    slides.release()
    sources[0].send()
    assert len(watcher.got) == left
    sources[0].send(key=True)
    sources[0].send()
    assert [one[3] for one in watcher.got[left:]] == [True, False]
    for n, modulus in ((0, 0x10000), (2, 0x8000)):
        assert {(b[n] - a[n]) % modulus for a, b in itertools.pairwise(watcher.got)} == {1}

    # Who takes the place is seen from their own first keyframe on, and nothing of who was there.
    slides.hold(1000.0, view.last)
    slot.strands[0].regroup()
    for _ in range(10):
        sources[0].send()
    slot.strands[0].take(None)
    left = len(watcher.got)
    assert slides.unsent is None
    slides.release()
    sources[0].send()
    assert len(watcher.got) == left
    sources[0].send(key=True)
    assert watcher.got[-1][3]
    assert {(b[0] - a[0]) % 0x10000 for a, b in itertools.pairwise(watcher.got)} == {1}
    slides.close()


def test_a_browser_is_asked_for_keyframes_of_two_qualities_no_faster_than_it_listens() -> None:
    slot, _ = _camera()
    asked: list[bytes] = []
    producer = camera(slot, asked.append)
    poorest, better, best = producer.layers
    for n, layer in enumerate(producer.layers):
        layer.ssrc = 7000 + n
        layer.on_rtp(_frame(0), 0x80, 0, 0, time.monotonic())

    def asked_by(now: float) -> list[int]:
        producer.tick(now)
        return [
            one.media_ssrc
            for packet in asked
            for one in rtcp.parse(packet)
            if isinstance(one, KeyframeRequest)
        ]

    now = time.monotonic()
    better.request_keyframe()
    assert asked_by(now + 0.2) == [7001]
    poorest.request_keyframe()
    assert asked_by(now + 0.22) == [7001]
    assert asked_by(now + 0.4) == [7001, 7000]
    poorest.on_rtp(_frame(1, key=True), 0x80, 1, 0, now + 0.5)
    assert asked_by(now + 1.3) == [7001, 7000, 7001], "what does not come is asked for each second"
    best.request_keyframe()
    assert asked_by(now + 1.6)[3:] == []
    assert asked_by(now + 1.7)[3:] == [7002]


async def test_who_comes_between_two_keyframes_sees_the_picture_at_once() -> None:
    slot, sources = _camera()
    asked: list[int] = []
    layer: Any = SimpleNamespace(
        arrives=lambda _now: True,
        resting=False,
        request_keyframe=lambda: asked.append(1),
        payload_format=VP8,
    )
    slot.strands[0].layer = layer
    for _ in range(9):
        sources[0].send()
    watcher = _Watcher()
    view = View(slot, watcher)
    view.watch(0)
    sources[0].send()
    assert len(watcher.got) == 11
    assert watcher.got[0][3]
    assert not any(one[3] for one in watcher.got[1:])
    assert {(b[0] - a[0]) & 0xFFFF for a, b in itertools.pairwise(watcher.got)} == {1}
    # The past comes within a moment of the present: 9 ms here, and then a frame's time.
    assert [(b[1] - a[1]) & 0xFFFFFFFF for a, b in itertools.pairwise(watcher.got)] == [90] * 9 + [3000]
    asked.clear()
    # What lies too far back, or is too much, is not sent: a keyframe is asked for.
    for _ in range(600):
        sources[0].send()
    late = _Watcher()
    View(slot, late).watch(0)
    assert not late.got
    assert asked


async def test_who_comes_begins_with_no_quality_that_is_put_to_rest() -> None:
    slot, _ = _camera()
    for n, strand in enumerate(slot.strands):
        made: Any = SimpleNamespace(
            arrives=lambda _now: True, resting=n > 0, request_keyframe=lambda: None, payload_format=VP8
        )
        strand.layer = made
    view = View(slot, _Watcher())
    view.watch(2)
    assert (view.quality, view.wanted) == (0, 2)


async def test_in_a_hurry_nothing_is_sent_until_the_poorer_one_begins() -> None:
    slot, sources = _camera()
    watcher = _Watcher()
    view = View(slot, watcher)
    view.watch(2)
    sources[2].send()
    view.watch(0, hurry=True)
    for source in sources:
        source.send()
    assert len(watcher.got) == 2
    sources[0].send(key=True)
    assert len(watcher.got) == 3


async def test_a_late_packet_from_before_the_change_is_not_sent_under_a_used_number() -> None:
    slot, sources = _camera()
    watcher = _Watcher()
    view = View(slot, watcher)
    view.watch(1)
    sources[1].send()
    late = sources[2]
    late.send()
    missing = (late.sequence + 1) & 0xFFFF
    late.sequence = missing
    view.watch(2)
    late.send(key=True)
    late.strand.forward(_frame(late.picture - 1), 0x80, missing, late.timestamp - 3000)
    sequences = [one[0] for one in watcher.got]
    assert len(set(sequences)) == len(sequences) == 3


async def test_late_packets_stay_out_though_others_come_and_go() -> None:
    slot, sources = _camera()
    watcher, other = _Watcher(), View(slot, _Watcher())
    view = View(slot, watcher)
    view.watch(1)
    sources[1].send()
    late = sources[2]
    missing = late.sequence = (late.sequence + 1) & 0xFFFF
    view.watch(2)
    late.send(key=True)
    late.send()
    other.watch(2)  # the audiences are made anew
    late.send()
    late.strand.forward(_frame(late.picture - 3), 0x80, missing, late.timestamp - 9000)
    other.stop()
    late.send()
    sequences = [one[0] for one in watcher.got]
    assert [(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)] == [1] * (len(sequences) - 1)


async def test_no_number_of_the_source_before_is_used_again_however_late_packets_come() -> None:
    slot, sources = _camera()
    watcher = _Watcher()
    View(slot, watcher).watch(1)
    strand = sources[1].strand
    for _ in range(3):
        sources[1].send()
    strand.resync()  # somebody else stands here now
    strand.forward(_frame(1, key=True), 0x80, 5000, 1)
    for n in range(1, 1024):
        strand.forward(_frame(2), 0x80, 5000 - n, 1)
    strand.forward(_frame(3), 0x80, 5001, 3000)
    sequences = [one[0] for one in watcher.got]
    assert [(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)] == [1] * (len(sequences) - 1)


async def test_who_stood_on_a_place_of_sound_hears_it_again_when_others_do() -> None:
    nobody: Any = _Nobody()
    slot = Slot(next(one for one in stage() if one.source == "microphone"), nobody)
    heard: list[tuple[int, int]] = []

    def hear(packet: bytes) -> None:
        _, _, sequence, timestamp, _ = HEADER.unpack_from(packet)
        heard.append((sequence, timestamp))

    watcher: Any = SimpleNamespace(unsent=None, target=lambda: None, send_rtp=hear)
    view = View(slot, watcher)
    (strand,) = slot.strands
    view.watch(0)
    for n in range(5):
        strand.forward(b"sound", 0, 100 + n, 960 * n)
    view.stop()  # they speak here themselves
    for n in range(5, 10):
        strand.forward(b"sound", 0, 100 + n, 960 * n)
    view.watch(0)
    for n in range(10, 15):
        strand.forward(b"sound", 0, 100 + n, 960 * n)
    assert len(heard) == 10
    assert [(b[0] - a[0]) & 0xFFFF for a, b in itertools.pairwise(heard)] == [1] * 9
    assert all(0 < (b[1] - a[1]) & 0xFFFFFFFF < 48_000 for a, b in itertools.pairwise(heard))


async def test_a_packet_is_sent_again_with_the_viewers_own_numbers_unless_it_is_of_no_use() -> None:
    slot, sources = _camera()
    watcher = _Watcher()
    view = View(slot, watcher)
    view.watch(1)
    for _ in range(4):
        sources[1].send()
    before = watcher.got[-1]
    view.watch(2)
    sources[2].send(key=True)
    sources[2].send()
    last = watcher.got[-1]
    again = view.again(last[0])
    assert again is not None
    watcher.send_rtp(again)
    assert watcher.got[-1] == last
    assert view.again(before[0]) is None, "a keyframe has come since"


async def test_who_misses_the_same_is_sent_one_packet_until_there_are_newer_ones() -> None:
    slot, sources = _camera()
    here, there = View(slot, _Watcher()), View(slot, _Watcher())
    for view in (here, there):
        view.watch(1)
    for _ in range(3):
        sources[1].send()
    assert here.last is not None
    first = here.again(here.last)
    assert first is not None
    assert there.again(here.last) is first
    for _ in range(0x10000):  # the same number, of another frame
        sources[1].send()
    again = here.again(here.last)
    assert again is not None
    assert again[2:4] == first[2:4]
    assert again[4:] != first[4:]


async def test_of_what_is_kept_for_those_who_miss_it_little_is_and_nothing_of_another_source() -> None:
    slot, sources = _camera()
    views = [View(slot, _Watcher()) for _ in range(9)]
    for view in views:
        view.watch(1)
    for _ in range(400):
        sources[1].send()
    strand = slot.strands[1]
    for n, view in enumerate(views):  # as with numbers of their own
        view.shift = Shift(n)
        last = view.last
        assert last is not None
        assert all(view.again((last - back) & 0xFFFF) for back in range(300))
        assert len(strand._laid_out) <= 256
    assert strand._laid_out
    strand.take(strand.layer)
    assert not strand._laid_out
    assert views[0].again(views[0].last or 0)
    for view in views:
        view.stop()
    assert not strand._laid_out


async def test_those_who_come_over_together_share_one_layout() -> None:
    slot, sources = _camera()
    views = [View(slot, _Watcher()) for _ in range(50)]
    for view in views:
        view.watch(1)
    sources[1].send()
    for view in views:
        view.watch(2)
    sources[2].send(key=True)
    sources[2].send()
    assert len(sources[2].strand._grouped()) == 1


# Who speaks


def test_the_floor_of_attention_does_not_flicker() -> None:
    speakers, changes, before = Speakers(), 0, None
    for n in range(100):
        # Two talk at nearly the same loudness.
        speakers.note({"a": 30 + n % 3, "b": 31 - n % 3, "c": 110}, n * 0.3)
        changes += speakers.dominant != before
        before = speakers.dominant
    assert changes == 1
    assert "c" in speakers.note({"a": 100, "b": 100, "c": 20}, 31.0)
    assert speakers.dominant == before, "one loud moment leads nobody away"
    for n in range(10):
        found = speakers.note({"a": 100, "b": None, "c": 20}, 31.3 + n * 0.3)
    assert found == ["c"]
    assert speakers.dominant == "c"


# What a client offers


def test_qualities_are_named_in_the_offer() -> None:
    text = (
        "v=0\r\na=ice-ufrag:abcd\r\na=fingerprint:sha-256 " + ":".join(["AA"] * 32) + "\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n"
        "a=rid:q send\r\na=rid:h send\r\na=rid:x recv\r\na=simulcast:send q;h,x;~f;x\r\n"
    )
    assert parse(text).sections[0].rids == ["q", "h"]
    with pytest.raises(SdpError):
        parse(text.replace("q;h,x;~f;x", "q;q"))


# Sound with its older frames


def _red(*frames: bytes) -> bytes:
    """Pack frames as RED does, the newest last."""
    heads = b"".join((0x80 | 111).to_bytes(1, "big") + len(one).to_bytes(3, "big") for one in frames[:-1])
    return heads + bytes((111,)) + b"".join(frames)


@given(frames=st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_the_newest_frame_is_taken_out_of_red(frames: list[bytes]) -> None:
    assert primary(_red(*frames)) == frames[-1]


@given(payload=st.binary(max_size=60))
def test_nonsense_in_red_is_no_frame(payload: bytes) -> None:
    assert payload.endswith(primary(payload))


async def test_only_who_loses_packets_is_sent_sound_twice() -> None:
    nobody: Any = _Nobody()
    slot = Slot(next(one for one in stage() if one.kind == "audio"), nobody)
    sizes: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for plain in (True, False):
        view = View(slot, _Listener(sizes[plain]))
        view.carry(plain=plain)
        view.watch(0)
    slot.strands[0].forward(_red(b"old" * 20, b"new" * 20), 0, 1, 960, red=True)
    slot.strands[0].forward(b"new" * 20, 0, 2, 1920)
    assert sizes == {True: [(111, 60), (111, 60)], False: [(63, 125), (111, 60)]}


class _Listener(Direct):
    def __init__(self, got: list[tuple[int, int]]) -> None:
        self._got = got

    def target(self) -> Any:
        return None

    def send_rtp(self, packet: bytes) -> None:
        self._got.append((packet[1] & 0x7F, len(packet) - HEADER_SIZE))
