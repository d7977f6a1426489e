"""Sound and picture, every quality of it and whoever comes next lie on one line of time."""

import itertools
import struct
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.formats import OPUS
from media.layer import Layer
from media.slot import Slot, stage
from media.stamps import STEP, Stamps
from media.timeline import SenderClock, Timeline, ntp, signed
from media.view import View
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


def test_a_stream_that_counts_from_another_number_is_believed_at_once() -> None:
    timeline = Timeline(_VIDEO, SenderClock(answers=True))
    for n in range(6):
        timeline.on_report(n * _SECOND, n * _VIDEO, 100.0 + n)
    timeline.on_report(6 * _SECOND, 1 << 31, 106.0)
    assert timeline.shift is not None
    assert abs(signed((1 << 31) + timeline.shift - 106 * _VIDEO)) < 2


def test_reports_that_are_held_up_move_nothing() -> None:
    clock = SenderClock(answers=True)
    assert clock.translate(0, 100.0) == 100.0
    for n in range(1, 7):  # a link that stands still lets them all out at its end
        assert clock.translate(n * _SECOND, 108.0) == 100.0 + n
        assert clock.read(108.0) == 108.0
    assert clock.translate(9 * _SECOND, 109.3) == 109.0
    assert clock.read(110.0) == pytest.approx(109.7)


def test_a_clock_that_is_set_is_read_anew() -> None:
    clock = SenderClock(answers=True)
    assert clock.translate(1000 * _SECOND, 100.0) == 100.0
    assert clock.translate(1010 * _SECOND, 101.0) == 101.0, "nothing comes before it was sent: at once"
    moments = [clock.translate((500 + n) * _SECOND, 102.0 + n) for n in range(14)]
    assert moments[0] == pytest.approx(101.0 - 510 + 0.0)
    assert moments[-1] == 115.0, "nothing is held up for so long"


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 0xFFFFFFFF))
def test_whatever_is_reported_the_line_can_be_told(told: int, stamp: int) -> None:
    timeline = Timeline(_VIDEO, SenderClock(answers=True))
    for n, one in enumerate((0, told, told >> 1, (1 << 64) - 1)):
        timeline.on_report(one, stamp, 100.0 + n)
        said, here = timeline.clock(100.0 + n)
        struct.pack("!QL", said, here)


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
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps(_VIDEO)
    now = time.monotonic() + 1
    stamps.begin(timeline, first, now)
    timestamp, got = first, dict[int, int]()
    for n, gap in enumerate(gaps):
        timestamp = (timestamp + gap) & 0xFFFFFFFF
        if n == reported:
            timeline.on_report(0, (first - round(off * _VIDEO)) & 0xFFFFFFFF, now)
        before = got.copy()
        got[timestamp] = stamps.of(timestamp)
        for late, stamp in before.items():
            assert stamps.of(late) == stamp, "all of a frame has one, however late it comes"
    assert all(signed(b - a) >= min(STEP, 1) for a, b in itertools.pairwise(got.values()))
    assert timeline.shift is not None
    missing = signed(timeline.shift - (got[timestamp] - timestamp))
    spare = sum(max(0, gap - STEP) for gap in gaps[reported:])
    assert abs(missing) <= max(0, -round(off * _VIDEO) - spare)
    told = stamps.clock(now)
    if told is not None:
        assert told[0] == ntp(now)
        assert abs(signed(told[1] - round(now * _VIDEO) + missing)) <= 1, "our reports tell what is left"


def test_sound_that_comes_to_be_elsewhere_is_moved_again_but_not_for_what_is_jitter() -> None:
    """Firefox's first reports of sound may be 50 ms before what all later ones say."""
    timeline, stamps = Timeline(_SOUND, SenderClock(answers=True)), Stamps(_SOUND)
    now = time.monotonic() + 1
    stamps.begin(timeline, 0, now)
    off: list[int] = []
    for n in range(1000):
        if n % 50 == 0:
            late = (0, 960, 480)[n // 50 % 3] if n < 400 else 2400
            timeline.on_report(n // 50 << 32, n * 960 - late, now + n / 50)
        line = round((now + n / 50) * _SOUND)
        off.append(signed(stamps.of(n * 960) - line))
    assert len(set(off[:400])) == 1, "a packet late is no reason"
    assert len(set(off)) == 2, "once, and whole"
    assert off[-1] - off[0] == 2400


def test_a_stream_of_a_thousand_frames_a_second_cannot_make_us_remember_them_all() -> None:
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps(_VIDEO)
    now = time.monotonic() + 1
    stamps.begin(timeline, 0, now)
    stamps.of(0)
    timeline.on_report(0, _VIDEO // 2, now)
    got = [stamps.of(n * (STEP + 1)) for n in range(1, 5000)]
    assert all(signed(b - a) >= STEP for a, b in itertools.pairwise(got))
    told = stamps.clock(now)
    assert told is not None, "it gave up"
    assert timeline.shift is not None
    assert (
        told[1] == (round(now * _VIDEO) - signed(timeline.shift - got[-1] + 4999 * (STEP + 1))) & 0xFFFFFFFF
    )


def test_a_stream_that_goes_on_goes_on_where_it_belongs() -> None:
    timeline, stamps = Timeline(_VIDEO, SenderClock(answers=True)), Stamps(_VIDEO)
    now = time.monotonic() + 1
    timeline.on_report(0, 7000, now)
    stamps.begin(timeline, 7000, now)
    assert stamps.of(7000) == round(now * _VIDEO) & 0xFFFFFFFF
    for n in range(1, 61):
        stamps.of(7000 + n * _VIDEO - 3000)
    # It stopped for a moment, and arrives a third of a second late: that is not when it was captured.
    stamps.begin(timeline, 7000 + 60 * _VIDEO, now + 60.3)
    assert abs(signed(stamps.of(7000 + 60 * _VIDEO) - round((now + 60) * _VIDEO))) <= 1
    # What is far from where it should be is not believed.
    stamps.begin(timeline, 1 << 31, now + 70)
    assert abs(signed(stamps.of(1 << 31) - round((now + 70) * _VIDEO))) <= _VIDEO
    # Whoever stands there next may be read as earlier: time goes on all the same.
    last = stamps.last
    stamps.begin(Timeline(_VIDEO, SenderClock(answers=True)), 5, now + 50)
    assert signed(stamps.of(5) - last) == STEP


# What a viewer is told


class _Quality:
    """One quality of a camera, captured with the others, which arrives when it likes."""

    def __init__(self, slot: Slot, quality: int, first: int, late: float) -> None:
        strand = slot.strands[quality]
        assert strand.layer is not None
        self.layer: Layer = strand.layer
        self.first, self.late = first, late
        self.sequence = self.picture = 0

    def timestamp(self, captured: float) -> int:
        return (self.first + round(captured * _VIDEO)) & 0xFFFFFFFF

    def send(self, captured: float, *, key: bool = False) -> None:
        self.sequence, self.picture = self.sequence + 1, self.picture + 1
        payload = _frame(self.picture, key=key)
        self.layer.on_rtp(payload, 0x80, self.sequence, self.timestamp(captured), captured + self.late)

    def report(self, captured: float) -> None:
        told = rtcp.SenderReport(1, round((1000 + captured) * _SECOND), self.timestamp(captured), 0, 0)
        self.layer.on_sender_report(told, captured + 0.02)


_Told = list[tuple[float, int]]  # NTP seconds and a stamp, of each report


async def _watch(monkeypatch: pytest.MonkeyPatch, order: list[int]) -> tuple[_Told, _Told]:
    """Watch a camera in one quality after the other, two seconds each; return what the viewer was told, and
    when each picture was captured. Of the best quality the first report comes after its first pictures.
    """
    nobody: Any = _Nobody()
    slot = Slot(next(one for one in stage() if one.source == "camera"), nobody)
    slot.take(camera(slot))
    sources = [_Quality(slot, n, 12_345 << 8 * n, 0.03 + 0.1 * n) for n in range(3)]
    watcher = _Watcher()
    view = View(slot, watcher)
    reports: _Told = []
    pictures: _Told = []
    began = time.monotonic()
    for n in range(60 * len(order)):
        at = began + n / 30
        if n % 60 == 0:
            view.watch(order[n // 60])
        for quality, source in enumerate(sources):
            if quality == 2 and n < 120:
                continue
            monkeypatch.setattr(time, "monotonic", lambda at=at, source=source: at + source.late)
            if n % 30 == 7:
                source.report(at)
            before = len(watcher.got)
            source.send(at, key=n % 60 == 1)
            slot.strands[quality].flush()
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
    # And it is true: a picture was captured when the line says so, but for the first before a report came.
    began = pictures[0][0]
    off = [
        seconds + signed(other - stamp) / _VIDEO - at
        for at, other in pictures
        if not (at < began + 0.5 or began + 3.9 < at < began + 4.5)
    ]
    assert len(off) > 300
    assert max(off) - min(off) < 0.002


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
