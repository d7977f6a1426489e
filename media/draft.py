"""Packets of a strand before they are laid out: what all audiences share, and what is theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

from media.formats import OPUS, VP8
from media.red import PAYLOAD_TYPE as RED
from media.red import primary
from media.rtp import HEADER, HEADER_SIZE
from media.vp8 import Parted

Entry = tuple[int, int, int, bytes]  # marker and payload type, sequence, timestamp, payload


@dataclass(frozen=True, slots=True)
class Shift:
    """What is added to a strand's numbers for an audience."""

    sequence: int = 0
    timestamp: int = 0
    picture: int = 0
    tl0: int = 0


NONE = Shift()


class Draft:
    """One packet, taken apart around what differs from audience to audience. `size` is what it will have."""

    __slots__ = ("first", "kind", "middle", "parted", "sequence", "size", "ssrc", "tail", "timestamp")

    def __init__(self, entry: Entry, ssrc: int, sent_at: bytes = b"", *, plain: bool = False) -> None:
        """Take the time of sending in the form of its header extension; of sound that is to be `plain` the
        older frames are left out.
        """
        self.kind, self.sequence, self.timestamp, payload = entry
        if plain and self.kind & 0x7F == RED:
            self.kind, payload = self.kind & 0x80 | OPUS.payload_type, primary(payload)
        is_vp8 = self.kind & 0x7F == VP8.payload_type
        self.parted = Parted(payload) if is_vp8 else None
        head, self.tail = (self.parted.head, self.parted.tail) if self.parted else (b"", payload)
        self.first = 0x90 if sent_at else 0x80
        self.ssrc, self.middle = ssrc, sent_at + head
        self.size = HEADER_SIZE + len(sent_at) + len(payload)


class Layout:
    """Drafts side by side, each padded to its size and with so much room behind it."""

    def __init__(self, drafts: Sequence[Draft], sizes: Sequence[int], room: int = 0) -> None:
        self._drafts = drafts
        missing = [size - draft.size for draft, size in zip(drafts, sizes, strict=True)]
        self._flags = [0x20 if one else 0 for one in missing]
        padding = [bytes(one - 1) + bytes((one,)) if one else b"" for one in missing]
        self._behind = [one + bytes(room) for one in padding]

    def part(self, shift: Shift = NONE, types: bytes | None = None) -> bytes:
        """Return the packets with numbers shifted and, by a table, their payload type for each of ours."""
        pieces: list[bytes] = []
        for draft, flag, behind in zip(self._drafts, self._flags, self._behind, strict=True):
            head = HEADER.pack(
                draft.first | flag,
                draft.kind if types is None else draft.kind & 0x80 | types[draft.kind & 0x7F],
                (draft.sequence + shift.sequence) & 0xFFFF,
                (draft.timestamp + shift.timestamp) & 0xFFFFFFFF,
                draft.ssrc,
            )
            numbers = draft.parted.numbers(shift.picture, shift.tl0) if draft.parted is not None else b""
            pieces += (head, draft.middle, numbers, draft.tail, behind)
        return b"".join(pieces)


def packet(draft: Draft, shift: Shift = NONE, types: bytes | None = None) -> bytes:
    """Lay out one alone, as it is."""
    return Layout((draft,), (draft.size,)).part(shift, types)
