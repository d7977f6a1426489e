"""One viewer's view of one place: in which quality, and numbers without a gap over all of them."""

import time

from media import rtcp, vp8
from media.draft import NONE, Entry, Shift
from media.formats import VP8
from media.rtp import HEADER, HEADER_SIZE, SEND_TIME_SIZE
from media.slot import Slot
from media.stamps import STEP
from media.strand import Numbers, Strand, Watcher
from media.timeline import signed

_MOST_AT_ONCE = 30_000  # bytes: a quarter of a second of what a link is believed to carry at first


class View:
    """Closed by its connection. `shift` and `since` are read by the strand, which sets `until`."""

    def __init__(self, slot: Slot, watcher: Watcher) -> None:
        self.slot = slot
        self.watcher = watcher
        self.shift: Shift = NONE
        self.since: int | None = None
        self.until: int | None = None
        self.plain = True
        self.types: bytes | None = None
        self.strand: Strand | None = None  # that of the quality which is watched now
        self.quality: int | None = None
        self.wanted: int | None = None  # the quality to be watched, None for none
        self._first = 0  # the number of the first packet of what is watched now
        self._last: Numbers | None = None

    def watch(self, wanted: int | None, *, hurry: bool = False) -> None:
        """Watch this quality from its next keyframe on, the old one until then; None stops at once.

        In a `hurry` a better one is not watched meanwhile: the link must be free for what it carries.
        """
        if wanted == self.wanted:
            return
        if self.wanted is not None:
            self.slot.strands[self.wanted].waiting.pop(self, None)
        self.wanted = wanted
        if wanted is None:
            self.stop()
            return
        strand = self.slot.strands[wanted]
        if strand is self.strand:
            return
        if hurry and (self.quality or 0) > wanted:
            self._pause()
        if self.strand is None and self._last is None:
            self._begin(self._arriving(wanted))
        if self.strand is not strand:
            strand.waiting[self] = None
        if strand.layer is not None:
            strand.layer.request_keyframe()

    def _begin(self, strand: Strand) -> None:
        """See a picture at once, from the last keyframe on if that is near: whoever comes soon after another
        need not wait for one of their own, nor the publisher make it.
        """
        past = strand.since_keyframe(_MOST_AT_ONCE)
        self._go(strand, strand.numbers(NONE).sequence + 1, NONE)
        for packet in past:
            kind = packet[1] & 0x7F
            theirs = self.types[kind] if self.types is not None else kind
            self.watcher.send_rtp(packet[:1] + bytes((packet[1] & 0x80 | theirs,)) + packet[2:])
        if not past and strand.layer is not None:
            strand.layer.request_keyframe()

    def _arriving(self, wanted: int) -> Strand:
        """Return the best strand, up to the one that is wanted, of which something arrives."""
        now = time.monotonic()
        for strand in reversed(self.slot.strands[: wanted + 1]):
            layer = strand.layer  # one that rests arrives for a moment still
            if layer is not None and layer.arrives(now) and not layer.resting:
                return strand
        return self.slot.strands[wanted]

    def carry(self, *, plain: bool) -> None:
        """Have sound without the older frames it may carry, or with them."""
        if plain != self.plain:
            self.plain = plain
            if self.strand is not None:
                self.strand.regroup()

    def stop(self) -> None:
        """Be sent nothing more: no packet after this call."""
        if self.wanted is not None:
            self.slot.strands[self.wanted].waiting.pop(self, None)
            self.wanted = None
        self._pause()

    def begin_anew(self) -> None:
        """Go on with the next keyframe, and be sent nothing of what is held back."""
        wanted = self.wanted
        self.stop()
        self.watch(wanted)

    def _cut(self) -> None:
        """Nothing of what is held back was sent: its numbers are given to others, or it would be missed."""
        packet = self.watcher.unsent
        if packet is None:
            return
        whole = self.watcher.cut()
        _, kind, sequence, timestamp, _ = HEADER.unpack_from(packet)
        last = self._last
        picture, tl0 = (last.picture, last.tl0) if last is not None else (0, 0)
        vp8_type = VP8.payload_type if self.types is None else self.types[VP8.payload_type]
        if kind & 0x7F == vp8_type:
            picture, tl0 = vp8.numbers(packet[HEADER_SIZE + SEND_TIME_SIZE :])
            picture, tl0 = picture - whole, tl0 - whole  # of a frame of which a part was sent, the same
        self._last = Numbers(
            (sequence - 1) & 0xFFFF,
            (timestamp - whole * STEP) & 0xFFFFFFFF,
            picture & 0x7FFF,
            tl0 & 0xFF,
            whole,
        )

    def _pause(self) -> None:
        if self.strand is not None:
            self._last = self.strand.numbers(self.shift)
            self.strand.remove(self)
            self.strand = self.quality = None
        self._cut()

    def enter(self, strand: Strand, entry: Entry) -> None:
        """Come over to a strand whose keyframe begins with this packet; its numbers follow the last ones."""
        kind, sequence, timestamp, payload = entry
        before = self.strand
        last = before.numbers(self.shift) if before is not None else self._last
        shift = NONE
        if last is not None:
            picture, tl0 = vp8.numbers(payload) if kind & 0x7F == VP8.payload_type else (0, 0)
            # A frame that stays unfinished must look so: a number is left out behind it.
            early = signed(timestamp - last.timestamp) <= 0  # the same picture in another quality
            following = last.sequence + (1 if last.whole else 2)
            shift = Shift(
                (following - sequence) & 0xFFFF,
                (last.timestamp + STEP - timestamp) & 0xFFFFFFFF if early else 0,
                (last.picture + 1 - picture) & 0x7FFF,
                (last.tl0 + 1 - tl0) & 0xFF,
            )
        if before is not None:
            before.remove(self)
        self._go(strand, (sequence + shift.sequence) & 0xFFFF, shift)
        self.since, self.until = sequence, None

    def _go(self, strand: Strand, first: int, shift: Shift) -> None:
        self.shift = NONE if shift == NONE else shift
        self.strand, self.quality = strand, self.slot.strands.index(strand)
        self._first = first & 0xFFFF
        strand.add(self)

    def is_of_now(self, sequence: int) -> bool:
        """Say whether a packet is of what is watched now.

        Of what came before the keyframe that begins this quality nobody needs anything, though browsers go
        on asking: to send it again would fill a link that may be full already.
        """
        return self.strand is not None and (sequence - self._first) & 0xFFFF < 0x8000

    def again(self, sequence: int) -> bytes | None:
        """Return a packet sent before, or None when it is too old."""
        last = self.last
        if self.strand is None or last is None or not self.is_of_now(sequence):
            return None
        return self.strand.again(sequence, self.shift) if (last - sequence) & 0xFFFF < 0x8000 else None

    @property
    def last(self) -> int | None:
        """Return the number of the last packet that has left, None when nothing is watched."""
        if self.strand is None:
            return None
        unsent = self.watcher.unsent
        return self.strand.last(self.shift) if unsent is None else (_number(unsent) - 1) & 0xFFFF

    def recent(self, back: int) -> bytes | None:
        """Return a packet this viewer was sent lately, `back` steps before the last."""
        return self.again((self.last - back) & 0xFFFF) if self.last is not None else None

    def sender_report(self) -> bytes:
        """Return what time it is in this viewer's numbers; or nothing."""
        strand = self.strand
        clock = strand.clock() if strand is not None else None
        if strand is None or clock is None:
            return b""
        ntp, stamp = clock
        stamp = (stamp + self.shift.timestamp) & 0xFFFFFFFF
        return rtcp.sender_report(self.slot.place.ssrc, ntp, stamp, strand.packets, strand.octets)


def _number(packet: bytes) -> int:
    return packet[2] << 8 | packet[3]
