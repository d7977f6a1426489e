"""Packets sent a second time (RFC 4588), on a stream of their own: what a viewer misses, and what fills a
link to see whether it carries more.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from media.formats import RTX_OF
from media.rtcp import TransportFeedback
from media.rtp import (
    COUNTED_SIZE,
    HEADER_SIZE,
    LONGEST,
    SEND_TIME_SIZE,
    TRANSPORT_SEQUENCE,
    counted,
    send_time,
)
from media.slot import Slot
from media.transit import Transit
from media.view import View

_MOST_PROBES = 12  # packets in 20 ms
_LONGEST_PAUSE = 0.1  # seconds of a probe that are made up for
_WAIT = 0.06  # seconds its packets may wait on their way ...
_TELLING = 0.15  # ... all those that arrived in so many seconds: one alone may be late for other reasons
_MOST_REFUSED = 15  # times in a probe that we had no room ourselves, of about 75


class Retransmissions:
    """Numbers one connection's; by places."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._sequence = dict.fromkeys((slot.place.rtx_ssrc for slot in slots), 0x0FFF)

    def wrap(self, view: View, packet: bytes) -> bytes | None:
        """Return a packet the viewer was sent, as it is sent now with its first number in front; None for who
        takes none such.

        With another time of sending, or without padding, the packet itself would be encrypted a second time
        under one nonce, which tells AES-GCM's key for signatures.
        """
        again = RTX_OF[packet[1] & 0x7F] or 0
        if view.types is not None:
            again = view.types[again]
            if again & 0x80:
                return None
        ssrc, head = view.slot.place.rtx_ssrc, HEADER_SIZE + SEND_TIME_SIZE
        return (
            packet[:1]
            + bytes((packet[1] & 0x80 | again,))
            + self._number(ssrc).to_bytes(2, "big")
            + packet[4:8]
            + ssrc.to_bytes(4, "big")
            + send_time(time.monotonic())
            + packet[2:4]
            + packet[head:]
        )

    def _number(self, ssrc: int) -> int:
        """Return the next number of a place's stream."""
        self._sequence[ssrc] = number = (self._sequence[ssrc] + 1) & 0xFFFF
        return number


class Probe:
    """Fills one link with the newest packets the viewer has, for as long as its `Bandwidth` says."""

    def __init__(
        self, retransmissions: Retransmissions, has_room: Callable[[], bool], send: Callable[[bytes], None]
    ) -> None:
        self._retransmissions = retransmissions
        self._has_room = has_room
        self._send = send
        self._at: float | None = None  # while it runs
        self._ahead = 0.0  # bytes sent that were not due yet: a packet is sent whole
        self._refused = 0
        self._since: Mapping[int, int | None] = {}  # the last numbers before it, by SSRC
        self.is_counted = False  # its packets are numbered, for the viewer to tell when each arrived
        self._transit = Transit()
        self._arrived: deque[tuple[float, float]] = deque()  # when by the viewer's clock, how long it waited
        self._missing: set[int] = set()

    def begin(self, views: Mapping[int, View]) -> None:
        """Remember what was sent before; again, while it runs, that changes nothing."""
        if self._at is None:
            self._since = {ssrc: view.last for ssrc, view in views.items()}
            self._transit = Transit(self._transit.next)
            self._arrived.clear()
            self._missing.clear()

    def end(self) -> None:
        self._at = None
        self._ahead = 0.0
        self._refused = 0

    @property
    def is_vain(self) -> bool:
        """Say whether too little of it was sent to tell anything."""
        return self._refused > _MOST_REFUSED

    def covers(self, ssrc: int, sequence: int) -> bool:
        """Say whether a packet was sent since it began."""
        since = self._since.get(ssrc)
        return since is None or 0 < (sequence - since) & 0xFFFF < 0x8000

    @property
    def is_held_up(self) -> bool:
        """Say whether its packets wait in a queue that does not shrink; False when nothing is told of it."""
        if not self._arrived or self._arrived[-1][0] - self._arrived[0][0] < _TELLING / 2:
            return False
        least = min(waited for _, waited in self._arrived)
        return least > _WAIT and self._arrived[-1][1] >= self._arrived[0][1]

    def on_feedback(self, feedback: TransportFeedback, now: float) -> int:
        """Take when its packets arrived; return how many of all those told of did not."""
        for arrival in self._transit.arrivals(feedback, now):
            self._missing.discard(arrival.number)
            self._arrived.append((arrival.at, arrival.waited))
            while abs(arrival.at - self._arrived[0][0]) > _TELLING:
                self._arrived.popleft()
        self._missing.update(self._transit.missing(feedback))
        return len(self._missing)

    def fill(self, rate: float, views: Iterable[View], now: float) -> None:
        """Send what is due at a rate, in bits per second, of what one of these views shows."""
        elapsed = now - self._at if self._at is not None else 0.0
        self._at = now
        view = next(iter(views), None)
        owed = max(0.0, rate) / 8 * min(elapsed, _LONGEST_PAUSE) - self._ahead
        self._ahead = max(0.0, -owed)
        for n in range(_MOST_PROBES):
            if view is None or owed <= 0:
                return
            if not self._has_room():
                self._refused += 1
                return
            packet = view.recent(n)
            again = self._retransmissions.wrap(view, packet) if packet is not None else None
            if again is None:
                return
            if self.is_counted and len(again) + COUNTED_SIZE <= LONGEST:
                number = self._transit.number(len(again), now)
                again = counted(again, number, TRANSPORT_SEQUENCE)
            self._send(again)
            owed -= len(again)
            self._ahead = max(0.0, -owed)
