"""What a bad link of the teacher's does to those who watch: little, and not for long."""

import random
import struct
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.formats import OPUS, VP8
from media.layer import Layer
from media.mirror import Mirror
from media.nack import MOST_MISSING, MissingPackets
from media.producer import Producer
from media.programme import programme
from media.red import PAYLOAD_TYPE as RED
from media.red import Gaps, frames
from media.reordering import Reordering
from media.room import Room
from media.rtcp import KeyframeRequest
from media.slot import Slot, stage
from media.timeline import SenderClock
from media.uplink import Uplink
from tests.media.peers import CAMERA, bench
from tests.media.teacher import camera

_FRAME = 0.05  # seconds from one picture to the next
_KEY, _OTHER = b"\x10\x00" + bytes(20), b"\x10\x01" + bytes(20)


class _Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, int, int, int]] = []

    def forward(self, payload: bytes, marker: int, sequence: int, timestamp: int, *, red: bool) -> None:
        self.got.append((payload, sequence, timestamp, RED if red else 0))

    def resync(self) -> None: ...
    def finish(self) -> None: ...

    @property
    def numbers(self) -> list[int]:
        return [sequence for _, sequence, _, _ in self.got]


class _Camera:
    """A camera in three qualities, of which some are sent for a while; how late something was seen."""

    def __init__(self) -> None:
        sender: Any = SimpleNamespace(forget=lambda _one: None, finish=lambda _of: None)
        self.slots = [Slot(place, sender) for place in stage()]
        self.slot = next(one for one in self.slots if one.place.mid == CAMERA)
        self.asked: list[int] = []
        self.producer: Producer = camera(self.slot, self._note)
        self.slot.take(self.producer)
        self.now, self.changes = 100.0, list[float]()
        self._sequences = [0, 0, 0]
        for n, layer in enumerate(self.producer.layers):
            layer.ssrc, layer.sink = 7000 + n, _Sink()

    def _note(self, packet: bytes) -> None:
        self.asked += [one.media_ssrc for one in rtcp.parse(packet) if isinstance(one, KeyframeRequest)]

    def send(self, seconds: float, *qualities: int, loss: float = 0.0) -> None:
        chance = random.Random(3)
        for _ in range(round(seconds / _FRAME)):
            for quality in qualities:
                self._sequences[quality] += 1
                if chance.random() >= loss:
                    self.picture(quality, _OTHER)
            self.producer.tick(self.now)
            if self.producer.compare(self.now):
                self.changes.append(self.now)
            self.now += _FRAME

    def picture(self, quality: int, payload: bytes) -> None:
        self.producer.layers[quality].on_rtp(payload, 0x80, self._sequences[quality], 0, self.now)

    @property
    def can_be_had(self) -> list[bool]:
        (picture,) = programme(self.slots, [], self.now).pictures
        return [rate is not None for rate in picture.rates]


def test_a_quality_that_stops_beside_others_is_known_to_be_gone_within_half_a_second() -> None:
    one = _Camera()
    one.send(5, 0, 1, 2)
    assert one.can_be_had == [True] * 3
    stopped = one.now
    one.send(0.5, 0, 1)
    assert one.can_be_had == [True, True, False]
    one.send(10, 0)
    assert one.can_be_had == [True, False, False]
    assert [round(at - stopped, 2) for at in one.changes] == [0.25, 0.75]


def test_a_link_that_stops_or_loses_a_fifth_takes_no_quality_away() -> None:
    one = _Camera()
    one.send(5, 0, 1, 2)
    one.send(1.5)
    assert one.can_be_had == [True] * 3
    one.send(30, 0, 1, 2, loss=0.2)
    assert not one.changes


def test_a_quality_that_comes_again_proves_itself_each_time_for_longer() -> None:
    one = _Camera()
    one.send(2, 0, 1, 2)
    proved = []
    for _ in range(4):
        one.send(1, 0, 1)
        assert one.can_be_had == [True, True, False]
        began = one.now
        while not all(one.can_be_had):
            one.send(0.1, 0, 1, 2)
        proved.append(round(one.now - began))
    assert proved == [3, 6, 12, 24]
    one.send(31, 0, 1, 2)
    one.send(1, 0, 1)
    one.send(4, 0, 1, 2)
    assert all(one.can_be_had), "it was there for long: all is forgotten"


def test_what_never_came_is_no_quality_that_is_left_out_nor_is_what_rests() -> None:
    one = _Camera()
    best = one.producer.layers[2]
    one.send(2, 0, 1)
    one.send(0.1, 0, 1, 2)
    assert one.can_be_had == [True] * 3, "the first picture counts"
    best.note_watched(one.now, watched=False)
    best.note_watched(one.now + 11, watched=False)
    assert best.resting
    one.send(5, 0, 1)
    assert not best.left_out
    best.note_watched(one.now, watched=True)
    one.send(3, 0, 1)
    assert not best.left_out, "it is given time to wake"
    one.send(4, 0, 1)
    one.send(0.2, 0, 1, 2)
    one.send(1, 0, 1)
    assert best.left_out


def test_of_what_is_not_sent_no_keyframe_is_asked_for() -> None:
    one = _Camera()
    best = one.producer.layers[2]
    one.send(1, 0, 1, 2)
    one.send(4, 0, 1)
    best.request_keyframe()
    one.send(5, 0, 1)
    assert not one.asked
    one.send(2.9, 0, 1, 2)
    assert not one.asked, "nor of what may go again"
    one.send(0.3, 0, 1, 2)
    assert one.asked == [7002]
    one._sequences[2] += 1
    one.picture(2, _KEY)
    one.send(3, 0, 1, 2)
    assert one.asked == [7002]


async def test_who_watches_elsewhere_is_told_what_is_left_out(tmp_path: Any) -> None:
    async with bench(tmp_path) as one:
        wiring = one.worker.orders._wiring
        mirror = Mirror(wiring, lambda *_event: None, object(), number=9, ask=lambda _data: None)
        nobody = {"participant": None, "take": 0, "format": None, "qualities": 0, "paused": False}
        taught = {**nobody, "participant": "t", "take": 1, "format": "vp8", "qualities": 3}
        for left_out in ([False, False, True], [False] * 3, []):
            shown = {**taught, "left_out": left_out}
            mirror.show([shown if slot.place.mid == CAMERA else nobody for slot in mirror.places], [])
            producer = mirror.places[int(CAMERA)].producer
            assert producer is not None
            assert [layer.left_out for layer in producer.layers] == (left_out or [False] * 3)


@pytest.mark.parametrize("most", [1, 2])
async def test_what_is_left_out_rests_if_nobody_would_watch_it(tmp_path: Any, most: int) -> None:
    async with bench(tmp_path) as one:
        told: list[dict[str, Any]] = []
        room = Room(one.worker.orders._wiring, lambda _name, facts: told.append(facts))
        slot = next(slot for slot in room.places if slot.place.mid == CAMERA)
        slot.take(camera(slot))
        assert slot.producer is not None
        viewer = SimpleNamespace(would_watch=lambda _slot, quality: quality <= most)
        room.participants["s"] = cast(Any, SimpleNamespace(subscribe=viewer))
        best = slot.producer.layers[2]
        best.left_out = True
        for later in (0, 11):
            room._rest(slot, slot.producer, 100.0 + later)
        assert best.resting == (most < 2)
        assert told[-1]["awake"] == (["q"] if most < 2 else ["q", "f"])


# A queue that stays


class _Link:
    """A browser's link: it sends at most what it is told, and else a little more each second; what does not
    fit waits. Its clock is not ours.
    """

    def __init__(self, rate: float, *, delay: float = 0.01) -> None:
        self.rate, self.delay, self.sends = rate, delay, 400_000.0
        self.uplink, self.now, self.queue = Uplink(), 1000.0, 0.0
        self.queues: list[float] = []
        self.caps: list[float | None] = []

    def run(self, seconds: int, *, held: float = 0.0) -> None:
        """Every second report is held up for so long."""
        for _ in range(seconds):
            self.sends = min(self.sends + 4_000, self.uplink.cap or 3e6)
            carried = min(self.rate, self.sends + self.queue * self.rate)
            self.queue = min(0.3, max(0.0, self.queue + (self.sends - self.rate) / self.rate))
            for late in (held, 0.0):
                told = round((self.now + 5e8 - self.delay - self.queue - late) * (1 << 32))
                self.uplink.on_report(told & 0xFFFFFFFF_FFFFFFFF, self.now)
            self.uplink.tick(carried)
            self.now += 1
            self.queues.append(self.queue)
            self.caps.append(self.uplink.cap)


def test_a_queue_that_grows_slowly_is_not_let_stand() -> None:
    link = _Link(600_000)
    link.run(300)
    assert max(link.queues) < 0.3
    assert sum(one > 0.2 for one in link.queues) < 0.2 * 300
    assert link.sends > 0.75 * 600_000
    link.rate = 3_000_000
    link.run(60)
    assert link.uplink.cap is None
    assert link.sends > 700_000


def test_a_link_that_holds_up_now_and_then_is_taken_for_what_it_carries() -> None:
    link = _Link(5_000_000)
    link.run(200, held=0.4)
    assert set(link.caps) == {None}


def test_a_way_that_is_longer_is_no_queue_for_long() -> None:
    link = _Link(5_000_000)
    link.run(20)
    link.delay = 0.3
    link.run(100)
    assert sum(cap is not None for cap in link.caps) < 12
    assert link.caps[-1] is None


@pytest.mark.parametrize("comes", [10_000.0, 400_000.0, 2_000_000.0, 9_000_000.0])
def test_whatever_comes_while_a_queue_empties_the_cap_stays_within_reason(comes: float) -> None:
    uplink = Uplink()

    def second(delay: float, came: float) -> None:
        uplink.on_report(round((5000 - delay) * (1 << 32)), 5000.0)
        uplink.tick(came)

    second(0.01, 300_000)
    for _ in range(3):
        second(0.5, 300_000)
    assert uplink.cap == 240_000
    second(0.01, comes)
    assert uplink.cap is not None
    assert 150_000 <= uplink.cap <= 276_000
    seconds = 0
    while uplink.cap is not None:
        second(0.01, 400_000)
        seconds += 1
    assert seconds < 30


def test_who_sends_no_reports_is_told_nothing() -> None:
    uplink = Uplink()
    for _ in range(50):
        uplink.tick(1e6)
    assert uplink.cap is None


# What is asked for again


@given(st.data())
def test_packets_go_on_in_order_and_none_waits_long(data: st.DataObject) -> None:
    """Of 200 packets, 5 ms apart, some come late and some never: those that come in time go on in order."""
    first = data.draw(st.integers(0, 0xFFFF))
    late = data.draw(st.dictionaries(st.integers(1, 190), st.floats(0.0, 0.6) | st.none(), max_size=20))
    missing = MissingPackets()
    order = Reordering[int](missing)
    arrivals = sorted(
        (0.005 * n + (late.get(n) or 0.0), n) for n in range(200) if late.get(n, 0.0) is not None
    )
    went: list[tuple[float, int]] = []
    ticks = [(0.02 * k, -1) for k in range(120)]
    for now, n in sorted((*arrivals, *ticks)):
        if n < 0:
            missing.due(now)
            went += [(now, one) for one in order.due(now)]
        elif missing.received((first + n) & 0xFFFF, now):
            went += [(now, one) for one in order.through((first + n) & 0xFFFF, n, now)]
    assert sorted(n for _, n in went) == sorted(n for _, n in arrivals), "each once"
    came = {n: at for at, n in arrivals}
    assert all(at - came[n] < 0.25 + 0.021 for at, n in went)
    known = max((n for n in late if late[n] is not None), default=0)
    in_time = [n for _, n in went if (late.get(n) or 0.0) < 0.03 and n > known]
    assert in_time == sorted(in_time)


def test_what_comes_within_a_round_trip_leaves_no_gap() -> None:
    """5 % are lost and come when they are asked for, after 100 ms: viewers never learn of it."""
    sink = _Sink()
    layer = _layer(VP8, sink)
    chance = random.Random(5)
    answers: list[tuple[float, int]] = []
    for tick in range(2000):
        now = 100 + 0.01 * tick
        for at, sequence in [one for one in answers if one[0] <= now]:
            answers.remove((at, sequence))
            layer.on_rtx(struct.pack("!H", sequence) + _OTHER, 0x80, 0, now)
        if chance.random() > 0.05 or tick < 2:
            layer.on_rtp(_OTHER, 0x80, tick, 0, now)
        asked.clear()
        layer.tick(now)
        for packet in asked:
            for one in rtcp.parse(packet):
                if isinstance(one, rtcp.Nack):
                    answers += [(now + 0.1, sequence) for sequence in one.sequences]
    assert len(sink.numbers) > 1950
    assert sink.numbers == list(range(len(sink.numbers)))


def test_what_is_muted_meanwhile_is_not_heard_of_again() -> None:
    sink = _Sink()
    layer = _layer(VP8, sink)
    for sequence in (1, 2, 4, 5):
        layer.on_rtp(_OTHER, 0x80, sequence, 0, 100.0)
    assert sink.numbers == [1, 2]
    layer.pause(paused=True)
    layer.tick(101.0)
    assert sink.numbers == [1, 2]


def test_what_was_held_back_when_it_was_muted_is_not_sent_when_it_is_heard_again() -> None:
    sink = _Sink()
    layer = _layer(VP8, sink)
    layer.on_rtp(_OTHER, 0x80, 1, 0, 100.0)
    layer.pause(paused=True)
    for sequence in (3, 4):
        layer.on_rtp(_KEY, 0x80, sequence, 0, 100.0)
    layer.pause(paused=False)
    layer.on_rtp(_OTHER, 0x80, 6, 0, 100.05)
    layer.pause(paused=True)
    layer.pause(paused=False)
    layer.tick(101.0)
    assert sink.numbers == [1]


def test_a_keyframe_that_was_held_back_is_not_asked_for_again() -> None:
    class Begins(_Sink):
        def forward(self, payload: bytes, marker: int, sequence: int, timestamp: int, *, red: bool) -> None:
            super().forward(payload, marker, sequence, timestamp, red=red)
            if payload == _OTHER:
                layer.request_keyframe()  # as a strand does that waits for one

    sink = Begins()
    layer = _layer(VP8, sink)
    layer.on_rtp(_KEY, 0x80, 1, 0, 100.0)
    asked.clear()
    layer.on_rtp(_OTHER, 0x80, 3, 0, 100.0)
    layer.on_rtp(_KEY, 0x80, 4, 0, 100.0)
    for n in range(19):
        layer.tick(100 + 0.02 * n)
    assert sink.numbers == [1, 3, 4]
    assert not [one for packet in asked for one in rtcp.parse(packet) if isinstance(one, KeyframeRequest)]


def test_a_mirror_does_not_wait_a_second_time() -> None:
    sink = _Sink()
    layer = _layer(VP8, sink, waits=False)
    for sequence in (1, 3, 4):
        layer.on_rtp(_OTHER, 0x80, sequence, 0, 100.0)
    assert sink.numbers == [1, 3, 4]


def test_one_that_does_not_come_is_waited_for_once() -> None:
    """Those that come after it was given up do not wait for it again."""
    sink = _Sink()
    layer = _layer(VP8, sink)
    for n in range(100):
        if n != 10:
            layer.on_rtp(_OTHER, 0x80, n, 0, 100 + 0.01 * n)
        layer.tick(100 + 0.01 * n)
        if n > 40:
            assert sink.numbers[-1] == n
    assert sink.numbers == [n for n in range(100) if n != 10]


def test_of_a_great_gap_nothing_is_waited_for() -> None:
    sink = _Sink()
    layer = _layer(VP8, sink)
    layer.on_rtp(_OTHER, 0x80, 1, 0, 100.0)
    layer.on_rtp(_OTHER, 0x80, 3 + MOST_MISSING, 0, 100.0)
    assert sink.numbers == [1, 3 + MOST_MISSING]


# Sound


def _packed(*frames: tuple[int, bytes]) -> bytes:
    """Pack frames as RED does, with their ages, the newest last."""
    heads = b"".join(b"\xef" + (age << 10 | len(frame)).to_bytes(3, "big") for age, frame in frames[:-1])
    return heads + b"\x6f" + b"".join(frame for _, frame in frames)


@given(
    st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=300)), max_size=3),
    st.binary(max_size=300),
)
def test_frames_come_out_of_red_as_they_were_put_in(older: list[tuple[int, bytes]], newest: bytes) -> None:
    assert frames(_packed(*older, (0, newest))) == [*older, (0, newest)]


@pytest.mark.parametrize("relayed", [False, True])
@pytest.mark.parametrize("carried", [1, 2])
@given(lost=st.sets(st.integers(1, 58)), first=st.integers(0, 0xFFFF), late=st.booleans())
def test_sound_that_was_lost_is_taken_out_of_what_follows(
    carried: int, relayed: bool, lost: set[int], first: int, late: bool
) -> None:
    """Sixty frames, each packet with `carried` before it; what is lost, from a browser or another worker,
    comes late, or not at all.
    """
    sink = _Sink()
    layer = _layer(OPUS, sink)
    sound = [b"frame %d" % n for n in range(60)]
    came = set()

    def comes(n: int) -> None:
        packed = _packed(*[(960 * k, sound[n - k]) for k in range(carried, 0, -1) if n >= k], (0, sound[n]))
        sequence, now = (first + n) & 0xFFFF, 100 + n / 50
        if not relayed:
            layer.on_rtp(packed, 0, sequence, 960 * n, now, red=True)
            return
        for kind, number, timestamp, payload in layer.relayed([(RED, sequence, 960 * n, packed)], now):
            sink.forward(payload, 0, number, timestamp, red=kind == RED)

    for n in range(60):
        if n not in lost:
            comes(n)
            came |= {n, *(k for k in range(n - carried, n) if k >= 0)}
            if late and n - 1 in lost:
                comes(n - 1)
    heard = [((sequence - first) & 0xFFFF, timestamp) for _, sequence, timestamp, _ in sink.got]
    assert heard == [(n, 960 * n) for n in sorted(came)], "each once, in order, at its time"
    for payload, sequence, _, red in sink.got:
        n = (sequence - first) & 0xFFFF
        assert (frames(payload)[-1][1] if red else payload) == sound[n]


def test_one_packet_becomes_no_more_than_three_and_no_number_is_sent_twice() -> None:
    sink = _Sink()
    layer = _layer(OPUS, sink)
    older = [(960, b"x")] * 200
    at = 1000
    for _ in range(60):
        before = len(sink.got)
        layer.on_rtp(_packed(*older, (0, b"newest")), 0, at, 0, 100.0, red=True)
        assert len(sink.got) - before <= 3
        at += 15
    for sequence in range(1000, at):
        layer.on_rtp(b"other words", 0, sequence, 0, 101.0)
    filled = [sequence for payload, sequence, _, _ in sink.got if payload == b"x"]
    assert len(filled) == 2 * 59
    late = {sequence for payload, sequence, _, _ in sink.got if payload == b"other words"}
    assert not late & set(filled)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=40))
def test_nonsense_fills_no_more_than_is_missing(packets: Sequence[tuple[int, bytes]]) -> None:
    gaps = Gaps()
    for sequence, payload in packets:
        gaps.received(sequence, 0.0)
        missing = gaps.missing
        if missing:
            filled = gaps.fill(sequence, payload)
            assert len(filled) <= missing
            assert all(0 < (sequence - number) & 0xFFFF <= missing for number, _, _ in filled)


asked: list[bytes] = []


def _layer(payload_format: Any, sink: _Sink, *, waits: bool = True) -> Layer:
    layer = Layer(
        "",
        payload_format=payload_format,
        payload_type=96,
        rtx_payload_type=97,
        red_payload_type=63,
        clock=SenderClock(answers=False),
        sink=sink,
        send_rtcp=asked.append,
        on_asked=lambda _count: None,
        ask_if_heard=lambda _now: True,
        waits=waits,
    )
    layer.ssrc = 9
    return layer
