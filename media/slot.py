"""One place of the stage, as every viewer sees it: whoever stands there is the same stream to them.

All viewers get the same numbers, so a packet is written once and only encrypted per viewer; joining,
leaving and speaking renegotiate nothing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from media import rtcp
from media.producer import AUDIO_CLOCK, VIDEO_CLOCK, Producer
from media.rtp import HEADER
from media.sender import Sender, Target
from media.vp8 import Continuity, is_keyframe

PAYLOAD_TYPES = {"audio": 111, "video": 96}
RTX_PAYLOAD_TYPE = 97
_RING = 512
_LONGEST_BURST = 16
_LONGEST_GAP = 200  # packets that may be missing in a row before the numbers are joined up
_BURST_SECONDS = 0.002  # how long a frame's first packet may wait for its last
_FRAME = {"audio": AUDIO_CLOCK // 50, "video": VIDEO_CLOCK // 30}


@dataclass(frozen=True, slots=True)
class Place:
    """A slot's address on the stage. `stage` is `instructor` or `student`."""

    mid: str
    stage: str
    source: str
    kind: str
    stream: str  # browsers play the tracks of one stream in step

    @property
    def ssrc(self) -> int:
        return 0x10_0000 + int(self.mid)

    @property
    def rtx_ssrc(self) -> int:
        return 0x20_0000 + int(self.mid)


def stage() -> list[Place]:
    """Return every place: the instructor's three, 3 student microphones, 6 student cameras."""
    places = [
        Place("0", "instructor", "screen", "video", "screen"),
        Place("1", "instructor", "camera", "video", "instructor"),
        Place("2", "instructor", "microphone", "audio", "instructor"),
    ]
    places += [Place(str(n), "student", "microphone", "audio", f"mic{n}") for n in range(3, 6)]
    places += [Place(str(n), "student", "camera", "video", f"cam{n}") for n in range(6, 12)]
    return places


class Slot:
    """Closed by its room. Written to by the producer that stands on it."""

    def __init__(self, place: Place, sender: Sender, *, on_packet: Callable[[bytes, str], None]) -> None:
        self.place = place
        self.holder: str | None = None  # the participant this place is kept for
        self.producer: Producer | None = None
        self.targets: Sequence[Target] = ()
        self.packets = 0
        self.octets = 0
        self._sender = sender
        self._on_packet = on_packet  # viewers who are not reached by UDP
        self._video = place.kind == "video"
        self._clock = VIDEO_CLOCK if self._video else AUDIO_CLOCK
        self._payload_type = PAYLOAD_TYPES[place.kind]
        self._ring: list[tuple[int, bytes] | None] = [None] * (_RING if self._video else 0)
        self._burst: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._vp8 = Continuity()
        self._resync = True
        self._first_sequence = 0
        self._newcomer = 0  # packets for which a number from before the source is still possible
        self._add_sequence = 0
        self._add_timestamp = 0
        self._last_sequence = 0x0FFF  # below 2^15, or an early loss would confuse SRTP's roll-over
        self._last_timestamp = 0
        self._last_at: float | None = None

    def take(self, producer: Producer | None) -> None:
        """Put a producer on this place, or clear it."""
        self.flush()
        self.producer = producer
        self._resync = True

    def leave(self, producer: Producer) -> None:
        if self.producer is producer:
            self.take(None)

    def resync(self) -> None:
        """The next packet continues the numbers after a pause, whatever its own are."""
        self._resync = True

    def close(self) -> None:
        self._burst.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def forward(self, payload: bytes, marker: int, sequence: int, timestamp: int) -> None:
        """Give one packet of the producer to every viewer."""
        if self._resync:
            if self._video and not is_keyframe(payload):
                if self.producer is not None:
                    self.producer.request_keyframe()
                return
            self._continue_from(payload, sequence, timestamp)
        elif self._newcomer and self._is_from_before(sequence):
            return
        out = (sequence + self._add_sequence) & 0xFFFF
        if _LONGEST_GAP < (out - self._last_sequence) & 0xFFFF < 0x8000:
            # A viewer who misses a few such leaps counts SRTP's roll-overs wrongly for good.
            self._resync = True
            self.forward(payload, marker, sequence, timestamp)
            return
        stamp = (timestamp + self._add_timestamp) & 0xFFFFFFFF
        if self._video:
            payload = self._vp8.rewrite(payload)
        packet = HEADER.pack(0x80, marker | self._payload_type, out, stamp, self.place.ssrc) + payload
        if (out - self._last_sequence) & 0xFFFF < 0x8000:
            self._last_sequence, self._last_timestamp = out, stamp
            self._last_at = time.monotonic()
        self.packets += 1
        self.octets += len(payload)
        if not self._video:
            self._sender.burst((packet,), self.targets)
            self._on_packet(packet, self.place.mid)
            return
        self._ring[out % _RING] = (out, packet)
        self._gather(packet, marker)

    def _gather(self, packet: bytes, marker: int) -> None:
        """Hold a packet back until its frame is whole, or for two milliseconds."""
        self._burst.append(packet)
        if marker or len(self._burst) >= _LONGEST_BURST:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_BURST_SECONDS, self.flush)

    def _is_from_before(self, sequence: int) -> bool:
        """Say whether a late packet left before this source stood here: its number is taken."""
        self._newcomer -= 1
        return (sequence - self._first_sequence) & 0xFFFF >= 0x8000

    def flush(self) -> None:
        """Send what waits for the rest of its frame."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._burst:
            burst, self._burst = self._burst, []
            self._sender.burst(burst, self.targets)
            for packet in burst:
                self._on_packet(packet, self.place.mid)

    def _continue_from(self, payload: bytes, sequence: int, timestamp: int) -> None:
        self._resync = False
        now = time.monotonic()
        self._first_sequence, self._newcomer = sequence, _RING
        self._add_sequence = (self._last_sequence + 1 - sequence) & 0xFFFF
        if self._last_at is None:
            self._add_timestamp = 0
        else:
            elapsed = max(_FRAME[self.place.kind], int((now - self._last_at) * self._clock))
            self._add_timestamp = (self._last_timestamp + elapsed - timestamp) & 0xFFFFFFFF
        if self._video:
            self._vp8.restart(payload)

    def again(self, sequence: int) -> bytes | None:
        """Return a packet sent before, or None when it is too old."""
        if not self._ring:
            return None
        entry = self._ring[sequence % _RING]
        return entry[1] if entry is not None and entry[0] == sequence else None

    def sender_report(self) -> bytes:
        """Return our report of the publisher's clock, moved into this slot's numbers; or nothing."""
        producer = self.producer
        if producer is None or producer.report is None or self._resync or producer.paused:
            return b""
        stamp = (producer.report.rtp + self._add_timestamp) & 0xFFFFFFFF
        return rtcp.sender_report(self.place.ssrc, producer.report.ntp, stamp, self.packets, self.octets)
