"""Packets sent a second time (RFC 4588), on a stream of their own: what a viewer misses, and what fills a
link to see whether it carries more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from media.formats import RTX_OF
from media.rtp import HEADER_SIZE, SEND_TIME_SIZE, send_time
from media.slot import Slot
from media.view import View

_MOST_PROBES = 12  # packets in 20 ms
_LOOKED_AT = 8  # of the last packets, of which the largest fills a link
_LONGEST_PAUSE = 0.1  # seconds of a probe that are made up for
_MOST_REFUSED = 15  # times in a probe that we had no room ourselves, of about 75


class Retransmissions:
    """Numbers one connection's; by places."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._sequence = dict.fromkeys((slot.place.rtx_ssrc for slot in slots), 0x0FFF)

    def wrap(self, view: View, packet: bytes) -> bytes | None:
        """Return a packet the viewer was sent, with its first number in front; None for who takes none such.
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
            + self.number(ssrc)
            + packet[4:8]
            + ssrc.to_bytes(4, "big")
            + packet[HEADER_SIZE:head]
            + packet[2:4]
            + packet[head:]
        )

    def number(self, ssrc: int) -> bytes:
        """Return the next number of a place's stream, as it is written."""
        self._sequence[ssrc] = number = (self._sequence[ssrc] + 1) & 0xFFFF
        return number.to_bytes(2, "big")


class Probe:
    """Fills one link with a packet the viewer has, for as long as its `Bandwidth` says: always the same,
    since to find one costs more than to send it.
    """

    def __init__(self, retransmissions: Retransmissions, send: Callable[[Sequence[bytes]], bool]) -> None:
        self._retransmissions = retransmissions
        self._send = send
        self._at: float | None = None  # while it runs
        self._owed = 0.0  # bytes
        self._refused = 0
        self._view: View | None = None
        self._packet: bytes | None = None
        self._since: Mapping[int, int | None] = {}  # the last numbers before it, by SSRC

    def begin(self, views: Mapping[int, View]) -> None:
        """Remember what was sent before; again, while it runs, that changes nothing."""
        if self._at is None:
            self._since = {ssrc: view.last for ssrc, view in views.items()}

    def end(self) -> None:
        self._at = self._view = self._packet = None
        self._owed, self._refused = 0.0, 0

    @property
    def is_vain(self) -> bool:
        """Say whether too little of it was sent to tell anything."""
        return self._refused > _MOST_REFUSED

    def covers(self, ssrc: int, sequence: int) -> bool:
        """Say whether a packet was sent since it began."""
        since = self._since.get(ssrc)
        return since is None or 0 < (sequence - since) & 0xFFFF < 0x8000

    def fill(self, rate: float, views: Iterable[View], now: float) -> None:
        """Send what is due at a rate, in bits per second, of what one of these views shows."""
        elapsed = now - self._at if self._at is not None else 0.0
        self._at = now
        if self._view is None or self._view.strand is None:
            self._choose(views)
        if self._view is None or self._packet is None:
            return
        packet, size = self._packet, len(self._packet)
        self._owed += max(0.0, rate) / 8 * min(elapsed, _LONGEST_PAUSE)
        count = min(_MOST_PROBES, int(self._owed / size))
        self._owed = min(self._owed - count * size, float(size))
        if count:
            head, tail = (
                packet[:2],
                packet[4:HEADER_SIZE] + send_time(now) + packet[HEADER_SIZE + SEND_TIME_SIZE :],
            )
            ssrc, number = self._view.slot.place.rtx_ssrc, self._retransmissions.number
            self._refused += not self._send([head + number(ssrc) + tail for _ in range(count)])

    def _choose(self, views: Iterable[View]) -> None:
        self._view = self._packet = None
        for view in views:
            recent = [packet for n in range(_LOOKED_AT) if (packet := view.recent(n)) is not None]
            if recent:
                self._view, self._packet = view, self._retransmissions.wrap(view, max(recent, key=len))
                return
