"""One stream a participant sends: what arrived, what is missing, when a keyframe is asked for."""

import time
from collections.abc import Callable
from typing import Protocol

from media import rtcp
from media.nack import MissingPackets
from media.vp8 import is_keyframe

_KEYFRAME_INTERVAL = 1.0  # seconds between two requests, however many viewers ask
AUDIO_CLOCK, VIDEO_CLOCK = 48_000, 90_000


class Sink(Protocol):
    """Where a producer's packets go."""

    def forward(self, payload: bytes, marker: int, sequence: int, timestamp: int) -> None: ...
    def resync(self) -> None: ...
    def leave(self, producer: "Producer") -> None: ...


class Reception:
    """Reception figures of one SSRC (RFC 3550, appendix A.3 and A.8)."""

    def __init__(self, clock: int) -> None:
        self._clock = clock
        self._first = -1
        self._highest = 0
        self._cycles = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self.received = 0

    def note(self, sequence: int, timestamp: int, now: float) -> None:
        self.received += 1
        if self._first < 0:
            self._first = self._highest = sequence
        elif (sequence - self._highest) & 0xFFFF < 0x8000:
            if sequence < self._highest:
                self._cycles += 0x10000
            self._highest = sequence
        transit = now * self._clock - timestamp
        if self._transit is not None:
            self._jitter += (min(abs(transit - self._transit), 1e9) - self._jitter) / 16
        self._transit = transit

    def block(self, ssrc: int, lsr: int, dlsr: int) -> rtcp.ReportBlock:
        """Return the report since the last one."""
        extended = self._cycles + self._highest
        expected = extended - self._first + 1
        lost = expected - self.received
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = min(255, max(0, lost_now) * 256 // expected_now) if expected_now > 0 else 0
        return rtcp.ReportBlock(ssrc, fraction, lost, extended, int(self._jitter) & 0xFFFFFFFF, lsr, dlsr)


class Producer:
    """Closed by its publish transport. Reports to its slot."""

    def __init__(
        self,
        *,
        mid: str,
        source: str,
        kind: str,
        payload_type: int,
        rtx_payload_type: int | None,
        sink: Sink,
        send_rtcp: Callable[[bytes], None],
        on_asked: Callable[[int], None],
    ) -> None:
        self.mid = mid
        self.source = source
        self.kind = kind
        self.payload_type = payload_type
        self.rtx_payload_type = rtx_payload_type
        self.ssrc: int | None = None
        self.paused = False
        self.packets = 0
        self.duplicates = 0
        self._sink = sink
        self._send_rtcp = send_rtcp
        self._on_asked = on_asked
        self._reception = Reception(AUDIO_CLOCK if kind == "audio" else VIDEO_CLOCK)
        self._missing = MissingPackets() if kind == "video" else None
        self._keyframe_wanted = False
        self._keyframe_asked_at = float("-inf")
        self._report: rtcp.SenderReport | None = None
        self._report_at = 0.0

    @property
    def report(self) -> rtcp.SenderReport | None:
        """The publisher's newest sender report: its clock and the stream's, for lip sync."""
        return self._report

    def on_rtp(self, payload: bytes, marker: int, sequence: int, timestamp: int, now: float) -> None:
        self._reception.note(sequence, timestamp, now)
        self._take(payload, marker, sequence, timestamp, now)

    def on_rtx(self, payload: bytes, marker: int, timestamp: int, now: float) -> None:
        """A retransmission (RFC 4588). Browsers also probe bandwidth with it: empty, or seen before.

        Of audio none is asked for, so none is taken: what was here before could not be told apart.
        """
        if self._missing is not None and len(payload) > 2:
            sequence = payload[0] << 8 | payload[1]
            self._take(payload[2:], marker, sequence, timestamp, now)

    def _take(self, payload: bytes, marker: int, sequence: int, timestamp: int, now: float) -> None:
        missing = self._missing
        if missing is not None:
            if not missing.received(sequence, now):
                self.duplicates += 1
                return
            if self._keyframe_wanted and is_keyframe(payload):
                self._keyframe_wanted = False
        self.packets += 1
        if payload and not self.paused:
            self._sink.forward(payload, marker, sequence, timestamp)

    def on_sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        self._report, self._report_at = report, now

    def close(self) -> None:
        """Leave the place, unless somebody else stands there by now."""
        self._sink.leave(self)

    def restart(self) -> None:
        """Begin a new stream on the same place: its numbers have nothing to do with the old ones."""
        self._reception = Reception(AUDIO_CLOCK if self.kind == "audio" else VIDEO_CLOCK)
        self._missing = MissingPackets() if self.kind == "video" else None
        self._report = None
        self._sink.resync()
        self._keyframe_wanted = self.kind == "video"

    def pause(self, *, paused: bool) -> None:
        if self.paused and not paused:
            self._sink.resync()
            self.request_keyframe()
        self.paused = paused

    def request_keyframe(self) -> None:
        """Ask for a keyframe, at most once a second for everybody together, until one comes."""
        if self.kind == "video" and not self._keyframe_wanted:
            self._keyframe_wanted = True
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """Ask again for what is missing; call every 20 ms or so."""
        if self.ssrc is None or self._missing is None:
            return
        if self._missing.given_up:
            self._missing.given_up = False
            self._keyframe_wanted = True
        if self._keyframe_wanted and now - self._keyframe_asked_at >= _KEYFRAME_INTERVAL:
            self._keyframe_asked_at = now
            self._send_rtcp(rtcp.picture_loss(1, self.ssrc))
        if len(self._missing):
            asking = self._missing.due(now)
            if asking:
                self._send_rtcp(rtcp.nack(1, self.ssrc, asking))
                self._on_asked(len(asking))

    def reception_block(self, now: float) -> rtcp.ReportBlock | None:
        if self.ssrc is None or not self._reception.received:
            return None
        lsr = dlsr = 0
        if self._report is not None:
            lsr = self._report.ntp >> 16 & 0xFFFFFFFF
            dlsr = int((now - self._report_at) * 65536)
        return self._reception.block(self.ssrc, lsr, dlsr)
