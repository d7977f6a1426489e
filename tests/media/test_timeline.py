"""Sound and picture, every quality of it and whoever comes next lie on one line of time."""

import itertools
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from aiortc.mediastreams import VideoStreamTrack
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.draft import NONE
from media.formats import OPUS
from media.layer import Layer
from media.mirror import Mirror
from media.slot import Slot, stage
from media.stamps import STEP, Stamps
from media.timeline import SenderClock, Timeline, ntp, signed
from media.view import View
from tests.media.peers import ROOM, bench
from tests.media.teacher import camera
from tests.media.test_quality import _frame, _Nobody, _Watcher

_VIDEO, _SOUND = 90_000, 48_000
_SECOND = 1 << 32  # of NTP


# What a sender's reports say


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=40), st.integers(0, 0xFFFFFFFF))
def test_a_report_of_sound_that_was_encoded_late_does_not_move_the_line(
    lateness: list[float], first: int
) -> None:
    """Two of five reports may be as late as they like."""
    timeline = Timeline(_SOUND, SenderClock(answers=True))
    timeline.on_report(0, first, 100.0)
    line = timeline.shift
    assert line is not None
    for n, late in enumerate(lateness, 1):
        shown = late if n % 5 in {1, 3} else 0.0
        timeline.on_report(n * _SECOND, (first + round((n - shown) * _SOUND)) & 0xFFFFFFFF, 100.0 + n)
        assert timeline.shift == line


def test_reports_that_tell_of_the_same_moment_count_once() -> None:
    timeline = Timeline(_SOUND, SenderClock(answers=True))
    timeline.on_report(0, 0, 100.0)
    line = timeline.shift
    for n in range(1, 5):
        for once in range(4):  # a browser answers for everything it sends, whatever it was asked of
            late = 960 if n == 2 else 0
            timeline.on_report(n * _SECOND + once, n * _SOUND - late, 100.0 + n)
            assert timeline.shift == line


def test_a_stream_that_counts_from_another_number_is_believed_when_three_reports_say_so() -> None:
    timeline = Timeline(_VIDEO, SenderClock(answers=True))
    for n in range(6):
        timeline.on_report(n * _SECOND, n * _VIDEO, 100.0 + n)
    line = timeline.shift
    for n in range(6, 9):
        assert timeline.shift == line
        timeline.on_report(n * _SECOND, n * _VIDEO + 100_000, 100.0 + n)
    assert line is not None
    assert timeline.shift == (line - 100_000) & 0xFFFFFFFF


def test_reports_that_are_held_up_move_nothing() -> None:
    """A queue of many seconds, or a link that stands still and lets them all out at its end."""
    clock = SenderClock(answers=True)
    assert clock.translate(0, 100.0) == 100.0
    for n in range(1, 60):
        now = 100.0 + n + (1.3 if n > 5 else 0.0) + (20 if n > 40 else 0)
        assert clock.translate(n * _SECOND, now) == 100.0 + n
        assert clock.arriving(now) == pytest.approx(100.0 + n), "what comes now was held up as well"


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 0xFFFFFFFF))
def test_whatever_is_reported_the_line_can_be_told(told: int, stamp: int) -> None:
    timeline = Timeline(_VIDEO, SenderClock(answers=True))
    for n, one in enumerate((0, told, told >> 1, (1 << 64) - 1)):
        timeline.on_report(one, stamp, 100.0 + n)
        assert timeline.shift is not None
        struct.pack("!QLL", ntp(100.0 + n), timeline.shift, timeline.arriving(100.0 + n))


def test_time_goes_on_in_2036() -> None:
    seconds = [ntp(400_000_000.0 + n) >> 32 for n in range(2)]
    assert (seconds[1] - seconds[0]) & 0xFFFFFFFF == 1
    assert all(0 <= one < 1 << 32 for one in seconds), "which begin anew"


# What a stream's timestamps become


@given(
    st.lists(st.integers(1, 9000), min_size=30, max_size=60),
    st.integers(0, 0xFFFFFFFF),
    st.floats(-0.9, 0.9),
    st.integers(0, 20),
)
def test_a_stream_moves_to_the_line_and_time_never_goes_back(
    gaps: list[int], first: int, off: float, reported: int
) -> None:
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps("video", _VIDEO)
    now = time.monotonic() + 1
    stamps.begin(timeline, first, now)
    timestamp, got = first, dict[int, int]()
    for n, gap in enumerate(gaps):
        timestamp = (timestamp + gap) & 0xFFFFFFFF
        if n == reported:
            timeline.on_report(0, (first - round(off * _VIDEO)) & 0xFFFFFFFF, now)
        before = got.copy()
        got[timestamp] = stamps.of(timestamp, now + signed(timestamp - first) / _VIDEO)
        for late, stamp in before.items():
            assert stamps.of(late, now + 60) == stamp, "all of a frame has one, however late it comes"
    assert all(
        signed(b - a) >= min(STEP, gap)
        for (a, b), gap in zip(itertools.pairwise(got.values()), gaps[1:], strict=True)
    )
    assert timeline.shift is not None
    missing = signed(timeline.shift - (got[timestamp] - timestamp))
    spare = sum(max(0, gap - STEP) for gap in gaps[reported:])
    assert abs(missing) <= max(0, -round(off * _VIDEO) - spare)
    told = stamps.clock(now)
    if told is not None:
        assert told[0] == ntp(now)
        assert abs(signed(told[1] - round(now * _VIDEO) + missing)) <= 1, "our reports tell what is left"


def test_sound_is_never_torn_and_our_reports_tell_where_it_is() -> None:
    timeline, stamps = Timeline(_SOUND, SenderClock(answers=True)), Stamps("audio", _SOUND)
    now = time.monotonic() + 1
    stamps.begin(timeline, 0, now)
    got = [stamps.of(0, now)]
    assert stamps.clock(now) is None, "nobody knows yet"
    for n in range(1, 600):
        if n % 50 == 10:
            late = 2400 if n > 300 else 960
            timeline.on_report(n // 50 << 32, n * 960 - 10 * 960 - late, now + n // 50)
        got.append(stamps.of(n * 960, now + n / 50))
        told = stamps.clock(now + n / 50)
        if told is not None:
            assert timeline.shift is not None
            assert told[0] == ntp(now + n / 50)
            missing = signed(timeline.shift - got[0])
            assert abs(signed(told[1] - round((now + n / 50) * _SOUND) + missing)) <= 1
    assert {signed(b - a) for a, b in itertools.pairwise(got)} == {960}
    # It pauses, and goes on where it belongs; after what was played, if that was a little ahead.
    at = now + 20
    stamps.begin(timeline, 1_000_000, at)
    stamps.of(1_000_000, at)
    stamps.begin(timeline, 2_000_000, at - 0.3)
    assert signed(stamps.of(2_000_000, at - 0.3) - stamps._shift - 2_000_000) == 0
    last = stamps.last
    stamps.begin(Timeline(_SOUND, SenderClock(answers=True)), 5, at - 0.6)
    assert signed(stamps.of(5, at - 0.6) - last) == 960


def test_a_link_that_stood_still_squeezes_nothing_afterwards() -> None:
    """The report that was held up with the rest says that all is late; the pictures after it are not."""
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps("video", _VIDEO)
    now = time.monotonic() + 1
    timeline.on_report(0, 0, now)
    stamps.begin(timeline, 0, now)
    got = []
    for n in range(500):
        arrives = now + (n / 30 if not 60 <= n < 330 else 11.0)
        if n == 329:
            timeline.on_report(2 << 32, 2 * _VIDEO, arrives)
        got.append(stamps.of(n * 3000, arrives))
    assert {signed(b - a) for a, b in itertools.pairwise(got)} == {3000}


def test_who_sends_from_the_future_spoils_it_for_nobody_who_comes_next() -> None:
    now = time.monotonic()
    for kind, rate in (("video", _VIDEO), ("audio", _SOUND)):
        stamps = Stamps(kind, rate)
        stamps.begin(Timeline(rate, SenderClock(answers=True)), 0, now)
        for ahead in (0, 1, 3600, 7200, 20_000):
            stamps.of(ahead * rate & 0xFFFFFFFF, now)
            assert signed(stamps.last - round(now * rate)) < 5.1 * rate
        for seconds in (0, 6, 7, 12, 13, 30):  # a place may be empty for half a day
            at = now + 3600 * seconds + 10
            stamps.begin(Timeline(rate, SenderClock(answers=True)), 77, at)
            assert abs(signed(stamps.of(77, at) - round(at * rate))) < rate
        # One whose reports come from the future, too, may go there; who comes next begins now, or behind it.
        for hours, seconds in ((1, 0), (0, 4)):
            liar = Timeline(rate, SenderClock(answers=True))
            liar.on_report(0, 0, at)
            stamps.begin(liar, 0, at)
            stamps.of(0, at)
            liar.on_report((3600 * hours + seconds) << 32, 0, at + 1)
            stamps.of((3600 * hours + seconds) * rate, at + 1)
            last = stamps.last
            stamps.begin(Timeline(rate, SenderClock(answers=True)), 77, at + 2)
            begun = stamps.of(77, at + 2)
            if hours:
                assert signed(last - round(at * rate)) > 3000 * rate
                assert abs(signed(begun - round((at + 2) * rate))) <= 1
            else:
                assert 0 < signed(begun - last) < 0.021 * rate
            at += 100


def test_a_stream_of_a_thousand_frames_a_second_cannot_make_us_remember_them_all() -> None:
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps("video", _VIDEO)
    now = time.monotonic() + 1
    stamps.begin(timeline, 0, now)
    stamps.of(0, now)
    timeline.on_report(0, _VIDEO // 2, now)
    got = [stamps.of(n * (STEP + 1), now + n / 1000) for n in range(1, 5000)]
    assert all(signed(b - a) >= STEP for a, b in itertools.pairwise(got))
    told = stamps.clock(now)
    assert told is not None, "it gave up"
    assert timeline.shift is not None
    assert (
        told[1] == (round(now * _VIDEO) - signed(timeline.shift - got[-1] + 4999 * (STEP + 1))) & 0xFFFFFFFF
    )


def test_a_stream_that_goes_on_goes_on_where_it_belongs() -> None:
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps("video", _VIDEO)
    now = time.monotonic() + 1
    timeline.on_report(0, 7000, now)
    stamps.begin(timeline, 7000, now)
    assert stamps.of(7000, now) == round(now * _VIDEO) & 0xFFFFFFFF
    for n in range(1, 61):
        stamps.of(7000 + n * _VIDEO - 3000, now + n)
    # It stopped for a moment, and arrives a third of a second late: that is not when it was captured.
    stamps.begin(timeline, 7000 + 60 * _VIDEO, now + 60.3)
    assert abs(signed(stamps.of(7000 + 60 * _VIDEO, now + 60.3) - round((now + 60) * _VIDEO))) <= 1
    # What is far from where it should be is not believed.
    stamps.begin(timeline, 1 << 31, now + 70)
    assert abs(signed(stamps.of(1 << 31, now + 70) - round((now + 70) * _VIDEO))) <= _VIDEO
    # Whoever stands there next may be read as earlier: time goes on all the same.
    last = stamps.last
    stamps.begin(Timeline(_VIDEO, SenderClock(answers=True)), 5, now + 69.5)
    assert signed(stamps.of(5, now + 69.5) - last) == STEP


# What a viewer is told


class _Quality:
    """One quality of a camera, captured with the others."""

    def __init__(self, slot: Slot, quality: int, first: int) -> None:
        strand = slot.strands[quality]
        assert strand.layer is not None
        self.strand = strand
        self.layer: Layer = strand.layer
        self.first = first
        self.sequence = self.picture = 0

    def timestamp(self, captured: float) -> int:
        return (self.first + round(captured * _VIDEO)) & 0xFFFFFFFF

    def send(self, captured: float, now: float, *, key: bool = False) -> None:
        self.sequence, self.picture = self.sequence + 1, self.picture + 1
        payload = _frame(self.picture, key=key)
        self.layer.on_rtp(payload, 0x80, self.sequence, self.timestamp(captured), now)
        self.strand.flush()

    def report(self, captured: float, now: float) -> None:
        told = rtcp.SenderReport(1, round((1000 + captured) * _SECOND), self.timestamp(captured), 0, 0)
        self.layer.on_sender_report(told, now)


_Told = list[tuple[float, int]]  # seconds and a stamp


async def _watch(monkeypatch: pytest.MonkeyPatch, order: list[int]) -> tuple[_Told, _Told]:
    """Watch a camera in one quality after the other, two seconds each; return what the viewer was told, and
    when each picture was captured. The best quality begins after four seconds: its encoder takes a fifth of
    a second for the first picture, all others wait for that, and its first report comes when they caught up.
    """
    nobody: Any = _Nobody()
    slot = Slot(next(one for one in stage() if one.source == "camera"), nobody)
    slot.take(camera(slot))
    sources = [_Quality(slot, n, 12_345 << 8 * n) for n in range(3)]
    watcher = _Watcher()
    view = View(slot, watcher)
    reports: _Told = []
    pictures: _Told = []
    began = time.monotonic()
    for n in range(60 * len(order)):
        at = began + n / 30
        now = at + 0.03 + max(0.0, 0.2 - (n - 121) / 30 if n > 120 else 0.0)
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        if n % 60 == 0:
            view.watch(order[n // 60])
        for quality, source in enumerate(sources):
            if quality == 2 and n < 120:
                continue
            if n % 30 == 7:
                source.report(at, now)
            before = len(watcher.got)
            source.send(at, now, key=n % 60 == 1)
            pictures += [(at, stamp) for _, stamp, _, _ in watcher.got[before:]]
        told = view.sender_report() if n % 30 == 10 else b""
        if told:
            _, ticks, stamp = struct.unpack_from("!LQL", told, 4)
            reports.append((ticks / _SECOND, stamp))
    return reports, pictures


async def test_over_every_change_of_quality_a_viewer_is_told_of_one_straight_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports, pictures = await _watch(monkeypatch, [0, 1, 2, 0, 2, 1])
    assert len(reports) > 8
    seconds, stamp = reports[0]
    for later, other in reports:
        assert abs(signed(other - stamp) / _VIDEO - (later - seconds)) < 0.002
    # And it is true: a picture was captured when the line says so, but for those before a first report and
    # the few in which the quality was moved then.
    off = [seconds + signed(other - stamp) / _VIDEO - at for at, other in pictures]
    middle = sorted(off)[len(off) // 2]
    wrong = [
        round((at - pictures[0][0]) * 30)
        for (at, _), one in zip(pictures, off, strict=True)
        if abs(one - middle) > 0.002
    ]
    assert all(n < 7 or 120 <= n < 135 for n in wrong), wrong
    assert len(wrong) < 25


async def test_sound_and_picture_of_one_sender_are_on_one_line_there_and_at_another_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the first report of sound was under way for 300 ms, and that of the picture was not."""
    async with bench(tmp_path) as made:
        await made.hold_class()
        room = made.worker.orders._rooms[ROOM]
        publish = room.participants["teacher"].publish
        assert publish is not None
        producers = {one.source: one for one in publish.producers.values()}
        now = time.monotonic()
        for n, (source, late) in enumerate((("microphone", 0.3), ("camera", 0.0))):
            layer = producers[source].layers[0]
            layer.on_sender_report(rtcp.SenderReport(7, 5 << 32, 77, 0, 0), now + late)
            layer.restart()
            assert layer.timeline.shift is None, "what is told of another stream is worth nothing"
            layer.on_sender_report(rtcp.SenderReport(7, 5 << 32, 1000 * n, 0, 0), now + late)
        sound, picture = (producers[source].layers[0].timeline for source in ("microphone", "camera"))
        assert sound.shift is not None
        assert picture.shift is not None
        line = now + 0.3
        assert abs(signed(sound.shift + 0 - round(line * _SOUND))) <= 1
        assert abs(signed(picture.shift + 1000 - round(line * _VIDEO))) <= 1

        wiring = made.worker.orders._wiring
        mirror = Mirror(wiring, lambda *_: None, object(), number=1, ask=lambda _: None)
        shown: list[dict[str, Any]] = [
            {
                "participant": "t",
                "take": 1,
                "format": {"1": "vp8", "2": "opus"}.get(slot.place.mid),
                "qualities": 1,
                "paused": False,
            }
            for slot in mirror.places
        ]
        mirror.show(shown, [])
        lines: list[float] = []
        for mid, rate in ((1, _VIDEO), (2, _SOUND)):
            strand = mirror.places[mid].strands[0]
            assert strand.layer is not None
            kind = strand.layer.payload_type
            payload = _frame(1, key=True) if mid == 1 else b"opus"
            mirror.take(mid, 0, [struct.pack("!BBHLL", 0x80, 0x80 | kind, 5, 9000, 7) + payload])
            assert strand.clock() is None
            assert strand.numbers(NONE).timestamp == 9000, "it is there already"
            # The other worker's line is its own: its clock says 3 s, and 2 of these are 9000.
            with monkeypatch.context() as later:
                moment = time.monotonic() + 0.4 * (mid - 1)
                later.setattr(time, "monotonic", lambda moment=moment: moment)
                mirror.take(mid, 0, [rtcp.sender_report(7, 3 << 32, 9000 + rate, 1, 1)])
            if mid == 1:
                head = struct.pack("!BBHLL", 0x80, 0x80 | kind, 6, 9000 + rate // 10, 7)
                mirror.take(mid, 0, [head + _frame(2)])
            clock = strand.clock()
            assert clock is not None
            with monkeypatch.context() as later:
                moment = time.monotonic() + 3
                later.setattr(time, "monotonic", lambda moment=moment: moment)
                assert strand.clock() is None, "who does not tell it any more does not know it"
            moment, stamp = clock
            lines.append(moment / (1 << 32) - (stamp - 9000 - rate) / rate)
        assert lines == pytest.approx([3, 3], abs=0.0001), "a viewer is told of the other worker's line"


def test_a_stream_that_was_moved_and_begins_anew_has_nothing_of_the_old_one() -> None:
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps("video", _VIDEO)
    now = time.monotonic() + 1
    stamps.begin(timeline, 90_000, now)
    stamps.of(90_000, now)
    timeline.on_report(0, 90_000 + 9_000, now)
    stamps.of(93_000, now + 1 / 30)
    stamps.begin(Timeline(_VIDEO, SenderClock(answers=True)), 5_000, now + 1)
    first = stamps.of(5_000, now + 1)
    assert stamps.of(5_000, now + 1) == first, "the second packet of the same picture"


async def test_who_is_paused_tells_no_time() -> None:
    nobody: Any = _Nobody()
    slot = Slot(next(one for one in stage() if one.source == "camera"), nobody)
    slot.take(camera(slot))
    source, now = _Quality(slot, 0, 0), time.monotonic()
    source.send(now, now, key=True)
    source.report(now, now)
    source.send(now + 0.1, now + 0.1)
    assert source.strand.clock() is not None
    source.layer.pause(paused=True)
    assert source.strand.clock() is None
    source.layer.pause(paused=False)
    assert source.strand.clock() is None, "nor before a picture came again"
    source.send(now + 0.2, now + 0.2, key=True)
    assert source.strand.clock() is not None


# What is asked


def _asked(source: str, *, answers: bool = True) -> tuple[Layer, list[bytes]]:
    nobody: Any = _Nobody()
    sent: list[bytes] = []
    slot = Slot(next(one for one in stage() if one.source == source), nobody)
    producer = camera(slot, sent.append, answers=answers)
    layer = producer.layers[0]
    layer.ssrc = 77
    return layer, sent


def test_a_stream_that_begins_is_asked_what_time_it_is() -> None:
    layer, sent = _asked("camera")
    layer.tick(100.0)
    assert sent == [], "nothing came yet"
    layer.on_rtp(_frame(1, key=True), 0x80, 1, 3000, 100.0)
    for n in range(100):
        layer.tick(100.0 + n / 50)
        layer.on_rtp(_frame(n, key=True), 0x80, n + 2, 3000 * n, 100.0 + n / 50)
    request = rtcp.report_request(1, 77)
    assert sent.count(request) == 2, "once a second until it answers"
    layer.on_sender_report(rtcp.SenderReport(77, 1 << 40, 5, 0, 0), 102.0)
    for n in range(100):
        layer.tick(102.0 + n / 50)
    assert sent.count(request) == 2


async def test_programs_may_not_be_asked_and_pages_may(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.hold_class()
        peer = made.peer()
        peer.addTransceiver(VideoStreamTrack(), direction="sendonly")
        await peer.setLocalDescription(await peer.createOffer())
        await made.client.encode(ROOM, "teacher", peer.localDescription.sdp, picture="screen", login="l")
        teacher = made.worker.orders._rooms[ROOM].participants["teacher"]
        assert teacher.publish is not None
        assert teacher.encoder is not None
        assert teacher.publish._clock.answers
        assert not teacher.encoder._clock.answers


def test_a_program_is_not_asked() -> None:
    """GStreamer 1.22 stops sending for good when it is."""
    layer, sent = _asked("camera", answers=False)
    layer.on_rtp(_frame(1, key=True), 0x80, 1, 3000, 100.0)
    for n in range(100):
        layer.tick(100.0 + n / 50)
    assert sent == []


def test_sound_is_asked_each_second_unless_it_tells_by_itself() -> None:
    sent: list[bytes] = []
    nobody: Any = _Nobody()
    slot = Slot(next(one for one in stage() if one.source == "microphone"), nobody)
    layer = Layer(
        "",
        payload_format=OPUS,
        payload_type=111,
        rtx_payload_type=None,
        red_payload_type=None,
        clock=SenderClock(answers=True),
        sink=slot.strands[0],
        send_rtcp=sent.append,
        on_asked=lambda _count: None,
        ask_if_heard=lambda _now: True,
    )
    layer.ssrc = 78
    for n in range(250):
        now = 100.0 + n / 50
        layer.on_rtp(b"opus", 0, n, 960 * n, now)
        if n % 40 == 0 and n >= 100:
            layer.on_sender_report(rtcp.SenderReport(78, int(now) << 32, 960 * n, 0, 0), now)
        layer.tick(now)
    # At once, a second later, and the 0.8 s after the last report are not enough for another.
    assert sent == [rtcp.report_request(1, 78)] * 3
