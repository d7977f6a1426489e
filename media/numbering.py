"""The numbers of a strand: to a viewer it is one stream, whoever stands there and whenever that changes."""

import time

from media import vp8
from media.draft import Entry
from media.formats import FORMATS, VP8
from media.layer import Layer
from media.nack import MOST_MISSING
from media.red import PAYLOAD_TYPE as RED
from media.stamps import Stamps

WINDOW = 1024  # numbers that SRTP takes late, on the way in and out


class Numbering:
    """Numbers packets of one layer after another; closed with its strand. A packet gets none that left before
    its source stood here, or comes while a keyframe is waited for, which is asked for.
    """

    def __init__(self, kind: str) -> None:
        self._layer: Layer | None = None
        self._format = FORMATS[kind][0]
        self._stamps = Stamps(kind, self._format.clock)
        self._vp8 = vp8.Continuity()
        self.is_cut = True  # a source has to begin, or begin again
        self._first_sequence = 0
        self._newcomer = 0  # packets for which a number from before the source is still possible
        self._add_sequence = 0

    def take(self, layer: Layer | None) -> None:
        """Go on with packets of another layer, or of none."""
        self._layer = layer
        if layer is not None:
            self._format = layer.payload_format
        self.is_cut = True

    def entry(
        self, payload: bytes, marker: int, sequence: int, timestamp: int, last: Entry, *, red: bool
    ) -> Entry | None:
        """Return a packet as it goes on behind the last one, or None when it gets no number."""
        out = self._number(payload, sequence, last)
        if out is None:
            return None
        now = time.monotonic()
        if self._newcomer == WINDOW:  # it is the first of its source
            self._stamps.begin(self._layer.timeline if self._layer is not None else None, timestamp, now)
            if self._format is VP8:
                self._vp8.restart(payload, last[3] if last[0] & 0x7F == VP8.payload_type else b"")
        stamp = self._stamps.of(timestamp, now)
        if self._format is VP8:
            payload = self._vp8.rewrite(payload)
        return marker | (RED if red else self._format.payload_type), out, stamp, payload

    def relayed(self, entry: Entry, last: Entry) -> Entry | None:
        """Return a packet of another worker's strand, which has its time and its pictures' numbers, as it
        goes on behind the last one; or None when it gets no number.
        """
        kind, sequence, timestamp, payload = entry
        out = self._number(payload, sequence, last)
        return None if out is None else (kind, out, timestamp, payload)

    def _number(self, payload: bytes, sequence: int, last: Entry) -> int | None:
        out = (sequence + self._add_sequence) & 0xFFFF
        if MOST_MISSING < (out - last[1]) & 0xFFFF < 0x8000:
            # A viewer who misses a few such leaps counts SRTP's roll-overs wrongly for good.
            self.is_cut = True
        if self.is_cut:
            if not self._format.is_keyframe(payload):
                if self._layer is not None:
                    self._layer.request_keyframe()
                return None
            self.is_cut = False
            out = (last[1] + 1) & 0xFFFF
            self._first_sequence, self._newcomer = sequence, WINDOW
            self._add_sequence = (out - sequence) & 0xFFFF
        elif self._newcomer and self._is_from_before(sequence):
            return None
        return out

    def _is_from_before(self, sequence: int) -> bool:
        """Say whether a late packet left before this source stood here: its number is taken."""
        before = (sequence - self._first_sequence) & 0xFFFF >= 0x8000
        self._newcomer -= not before
        return before

    def clock(self, now: float) -> tuple[int, int] | None:
        """Return what time it is (NTP, 32.32), and the same moment as a timestamp; or nothing."""
        return None if self.is_cut else self._stamps.clock(now)
