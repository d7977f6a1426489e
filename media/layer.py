"""One RTP stream of a source: one of the qualities it is sent in, or the only one.

What arrived, what is missing, how much it is, when a keyframe is asked for.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from media import rtcp
from media.draft import Entry
from media.dropout import Dropout
from media.formats import OPUS, Format
from media.nack import MissingPackets
from media.reception import Reception
from media.red import PAYLOAD_TYPE as RED
from media.red import Gaps, primary
from media.reordering import Reordering
from media.timeline import SenderClock, Timeline

_KEYFRAME_INTERVAL = 1.0  # seconds between two requests, however many viewers ask
_REPORT_INTERVAL = 1.0  # seconds between two of its sender's reports, if it can be asked
_SECONDS_UNWATCHED = 10.0
_SECONDS_TO_WAKE = 5.0
_SILENT = 2.0  # seconds without a packet, after which its sender has no room for it
_Packet = tuple[bytes, int, int, int]  # payload, marker, sequence number, timestamp


class Sink(Protocol):
    """Where a layer's packets go."""

    def forward(self, payload: bytes, marker: int, sequence: int, timestamp: int, *, red: bool) -> None: ...
    def resync(self) -> None: ...
    def finish(self) -> None: ...


class Layer:
    """Closed with its producer. `rid` is the client's name for it, '' when there is one only; payload types
    are the client's, too. With `waits` pictures wait for what is asked for again, to go on in order.
    """

    def __init__(
        self,
        rid: str,
        *,
        payload_format: Format,
        payload_type: int,
        rtx_payload_type: int | None,
        red_payload_type: int | None,
        clock: SenderClock,
        sink: Sink,
        send_rtcp: Callable[[bytes], None],
        on_asked: Callable[[int], None],
        ask_if_heard: Callable[[float], bool],
        waits: bool = True,
    ) -> None:
        self.rid = rid
        self.payload_format = payload_format
        self.payload_type = payload_type
        self.rtx_payload_type = rtx_payload_type
        self.red_payload_type = red_payload_type
        self.ssrc: int | None = None
        self.paused = False
        self.packets = 0
        self.pictures = 0  # that are whole, or have lost what came before their end
        self.left_out = False  # its sender has no room for it, though there is for poorer ones
        self.duplicates = 0
        self.rate = 0.0  # bits per second of payload, smoothed
        self.size: tuple[int, int] | None = None  # of the last keyframe
        self.timeline = Timeline(payload_format.clock, clock)
        self._video = payload_format is not OPUS
        self.sink = sink
        self._send_rtcp = send_rtcp
        self._on_asked = on_asked
        self._ask_if_heard = ask_if_heard  # for a keyframe, with regard to the other qualities
        self._reception = Reception(payload_format.clock)
        self._waits = waits
        self._begin_numbers()
        self._forwards = False  # now
        self._keyframe_wanted = False
        self._keyframe_asked_at = float("-inf")
        self._clock = clock
        self._dropout = Dropout()
        self._report: rtcp.SenderReport | None = None  # the newest
        self._report_at = 0.0
        self._asked_time_at = float("-inf")
        self._octets = 0
        self._heard_at = float("-inf")
        self._measured_at: float | None = None
        self.resting = False  # its sender was told that nobody watches it
        self._unwatched_since: float | None = None
        self._waking_until = float("-inf")

    def _begin_numbers(self) -> None:
        self._missing = MissingPackets() if self._video else None
        self._order = self._reordering()
        self._gaps = Gaps()  # of sound

    def _reordering(self) -> Reordering[_Packet] | None:
        return Reordering(self._missing) if self._waits and self._missing is not None else None

    # What comes in

    def on_rtp(
        self,
        payload: bytes,
        marker: int,
        sequence: int,
        timestamp: int,
        now: float,
        *,
        red: bool = False,
    ) -> None:
        """Take a packet; `red` sound has older frames with it."""
        self._reception.note(sequence, timestamp, now)
        self._take(payload, marker, sequence, timestamp, now, red=red)

    def on_rtx(self, payload: bytes, marker: int, timestamp: int, now: float) -> None:
        """A retransmission (RFC 4588). Browsers also probe bandwidth with it: empty, or seen before.

        Of audio none is asked for, so none is taken: what was here before could not be told apart.
        """
        if self._missing is not None and len(payload) > 2:
            sequence = payload[0] << 8 | payload[1]
            self._take(payload[2:], marker, sequence, timestamp, now, red=False)

    def _take(
        self, payload: bytes, marker: int, sequence: int, timestamp: int, now: float, *, red: bool
    ) -> None:
        if not self._is_new(payload, marker, sequence, now, red=red) or not payload or self.paused:
            return
        if self._order is not None:
            self._forward(self._order.through(sequence, (payload, marker, sequence, timestamp), now), now)
            return
        if red:  # who loses nothing is not sent the older frames
            for number, age, frame in self._gaps.fill(sequence, payload):
                self.sink.forward(frame, 0, number, (timestamp - age) & 0xFFFFFFFF, red=False)
        self.sink.forward(payload, marker, sequence, timestamp, red=red)

    def relayed(self, burst: Iterable[Entry], now: float) -> list[Entry]:
        """Take a burst of the room's own worker; return what is to go on, with sound that was lost between
        the two.
        """
        taken: list[Entry] = []
        for entry in burst:
            kind, sequence, timestamp, payload = entry
            red = kind & 0x7F == RED
            if not self._is_new(payload, kind & 0x80, sequence, now, red=red) or not payload or self.paused:
                continue
            if red:
                for number, age, frame in self._gaps.fill(sequence, payload):
                    taken.append((OPUS.payload_type, number, (timestamp - age) & 0xFFFFFFFF, frame))
            taken.append(entry)
        return taken

    def _is_new(self, payload: bytes, marker: int, sequence: int, now: float, *, red: bool) -> bool:
        """Note a packet; return False when it was here before."""
        if not (self._gaps if self._missing is None else self._missing).received(sequence, now):
            self.duplicates += 1
            return False
        if self._video and self.payload_format.is_keyframe(payload):
            self._keyframe_wanted = False
            self.size = self.payload_format.frame_size(payload) or self.size
        self.packets += 1
        self.pictures += marker > 0
        self._octets += len(primary(payload)) if red else len(payload)  # what it takes at the least
        self._heard_at = now
        return True

    def _forward(self, pictures: Sequence[_Packet], now: float) -> None:
        """Give packets of pictures to everybody who watches; a keyframe that is among them need not be asked
        for by those before it.
        """
        self._forwards = True
        for payload, marker, sequence, timestamp in pictures:
            self.sink.forward(payload, marker, sequence, timestamp, red=False)
            if self._keyframe_wanted and self.payload_format.is_keyframe(payload):
                self._keyframe_wanted = False
        self._forwards = False
        if self._keyframe_wanted:
            self._ask_for_keyframe(now)

    def on_sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        self._report, self._report_at = report, now
        self.timeline.on_report(report.ntp, report.rtp, now)

    def come_on(self, sink: Sink) -> None:
        """Go to other viewers, for whom what is missing so far is not asked for, and wake."""
        self.sink = sink
        self._begin_numbers()
        self._unwatched_since, self.resting = None, False

    def restart(self) -> None:
        """Begin a new stream on the same place: its numbers have nothing to do with the old ones."""
        self._reception = Reception(self.payload_format.clock)
        self._begin_numbers()
        self.timeline = Timeline(self.payload_format.clock, self._clock)
        self._report = None
        self.sink.resync()
        self._keyframe_wanted = self._video

    def pause(self, *, paused: bool) -> None:
        """Forward nothing after this, or go on."""
        if paused:
            self.sink.finish()
        if paused != self.paused:
            self._order = self._reordering()
        if self.paused and not paused:
            self.sink.resync()
            self.request_keyframe()
        self.paused = paused

    # How it is

    def arrives(self, now: float) -> bool:
        """Say whether its sender sends it now."""
        return not self.left_out and now - self._heard_at < _SILENT

    def can_be_had(self, now: float) -> bool:
        """Say whether its sender sends it now, or would if anybody watched it."""
        return self.resting or self.arrives(now) or now < self._waking_until

    def compare(self, poorer: Sequence[int], now: float) -> bool:
        """Take how many pictures of each poorer quality came; say whether it is left out, or no longer is."""
        before = self.left_out
        if self.resting or now < self._waking_until:
            self._dropout = Dropout()
        else:
            self._dropout.note(self.packets, poorer, now)
        self.left_out = self._dropout.is_out
        return before != self.left_out

    def note_watched(self, now: float, *, watched: bool) -> bool:
        """Rest when nobody watches for a while, wake when somebody does; say whether that changes."""
        before = self.resting
        if watched:
            self._unwatched_since, self.resting = None, False
        else:
            self._unwatched_since = self._unwatched_since or now
            self.resting = now - self._unwatched_since > _SECONDS_UNWATCHED
        if before and watched:
            self._waking_until = now + _SECONDS_TO_WAKE
        return before != self.resting

    def measure(self, now: float) -> None:
        """Once a second: note how much it was."""
        if self._octets and self._measured_at is not None and now > self._measured_at:
            rate = 8 * self._octets / (now - self._measured_at)
            # Quickly up, slowly down: a screen that stands still will move again.
            self.rate += (rate - self.rate) * (0.5 if rate > self.rate else 0.1) if self.rate else rate
        self._octets, self._measured_at = 0, now

    # What is asked for

    def request_keyframe(self) -> None:
        """Ask for a keyframe, at most once a second for everybody together, until one comes: of what is sent,
        or its browser makes one of every quality it does send.
        """
        if self._video and not self._keyframe_wanted:
            self._keyframe_wanted = True
            if not self._forwards:
                self._ask_for_keyframe(time.monotonic())

    def _ask_for_keyframe(self, now: float) -> None:
        due = self.arrives(now) and now - self._keyframe_asked_at >= _KEYFRAME_INTERVAL
        if self.ssrc is not None and due and self._ask_if_heard(now):
            self._keyframe_asked_at = now
            self._send_rtcp(rtcp.picture_loss(1, self.ssrc))

    def tick(self, now: float) -> None:
        """Ask again for what is missing; call every 20 ms or so."""
        if self.ssrc is None:
            return
        self._ask_the_time(now)
        if self._missing is None:
            return
        if self._order is not None:
            self._forward(self._order.due(now), now)
        if self._missing.given_up:
            self._missing.given_up = False
            self._keyframe_wanted = True
        if self._keyframe_wanted:
            self._ask_for_keyframe(now)
        if len(self._missing):
            asking = self._missing.due(now)
            if asking:
                self._send_rtcp(rtcp.nack(1, self.ssrc, asking))
                self._on_asked(len(asking))

    def _ask_the_time(self, now: float) -> None:
        """Ask for a report (RFC 6051, section 3.2) when a stream begins, and of sound each second: unasked,
        browsers tell of it every five.
        """
        if not self._clock.answers:
            return
        if self._report is not None and (self._video or now - self._report_at < _REPORT_INTERVAL):
            return
        if self.arrives(now) and now - self._asked_time_at >= _REPORT_INTERVAL:
            self._asked_time_at = now
            self._send_rtcp(rtcp.report_request(1, self.ssrc or 0))

    def reception_block(self, now: float) -> rtcp.ReportBlock | None:
        if self.ssrc is None or not self._reception.received:
            return None
        lsr = dlsr = 0
        if self._report is not None:
            lsr = self._report.ntp >> 16 & 0xFFFFFFFF
            dlsr = int((now - self._report_at) * 65536)
        return self._reception.block(self.ssrc, lsr, dlsr)
