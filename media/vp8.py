"""The VP8 payload descriptor (RFC 7741, section 4.2): keyframes, and continuity over sources."""

import struct
from dataclasses import dataclass

_BOTH = struct.Struct("!HB")  # a picture id of two bytes, and TL0PICIDX


@dataclass(slots=True)
class Continuity:
    """What is added to picture id and TL0PICIDX so that a viewer sees one stream."""

    picture: int = 0
    tl0: int = 0

    def restart(self, payload: bytes, last: bytes) -> None:
        """Begin a new source with this keyframe: its numbers continue those of the last payload sent."""
        last_picture, last_tl0 = _found(last)
        picture, tl0 = _found(payload)
        self.picture = last_picture + 1 - picture if min(last_picture, picture) >= 0 else 0
        self.tl0 = last_tl0 + 1 - tl0 if min(last_tl0, tl0) >= 0 else 0

    def rewrite(self, payload: bytes) -> bytes:
        """Return the payload with shifted numbers, of the same length."""
        return shifted(payload, self.picture, self.tl0) if self.picture or self.tl0 else payload


class Parted:
    """A payload taken apart around picture id and TL0PICIDX, for others to be made that differ in these."""

    __slots__ = ("_picture", "_tl0", "_wide", "head", "tail")

    def __init__(self, payload: bytes) -> None:
        picture_at, tl0_at = _fields(payload)
        begin = end = picture_at or tl0_at
        self._picture = self._tl0 = -1
        self._wide = False
        if picture_at:
            self._picture, self._wide = _picture_id(payload, picture_at)
            end += 2 if self._wide else 1
        if tl0_at:
            self._tl0 = payload[tl0_at]
            end = tl0_at + 1
        self.head, self.tail = payload[:begin], payload[end:]

    def numbers(self, picture: int, tl0: int) -> bytes:
        """Return what stands between head and tail, with so much added to the numbers."""
        picture += self._picture
        tl0 = self._tl0 + tl0 & 0xFF
        if self._wide and self._tl0 >= 0:  # as browsers send them
            return _BOTH.pack(0x8000 | picture & 0x7FFF, tl0)
        found = b""
        if self._wide:
            found = (0x8000 | picture & 0x7FFF).to_bytes(2, "big")
        elif self._picture >= 0:
            found = bytes((picture & 0x7F,))
        return found + bytes((tl0,)) if self._tl0 >= 0 else found


def shifted(payload: bytes, picture: int, tl0: int) -> bytes:
    """Return the payload with so much added to picture id and TL0PICIDX, of the same length."""
    parted = Parted(payload)
    return parted.head + parted.numbers(picture, tl0) + parted.tail


def numbers(payload: bytes) -> tuple[int, int]:
    """Return picture id and TL0PICIDX; 0 for the one that is absent."""
    picture, tl0 = _found(payload)
    return max(0, picture), max(0, tl0)


def is_keyframe(payload: bytes) -> bool:
    """Say whether this is the first packet of a keyframe."""
    at = _frame_at(payload)
    return 0 < at < len(payload) and not payload[at] & 0x01


def frame_size(payload: bytes) -> tuple[int, int] | None:
    """Return width and height, which the first packet of a keyframe tells (RFC 6386, section 9.1)."""
    at = _frame_at(payload)
    if not 0 < at <= len(payload) - 10 or payload[at] & 0x01:
        return None
    if payload[at + 3 : at + 6] != b"\x9d\x01\x2a":
        return None
    width = payload[at + 6] | payload[at + 7] << 8
    height = payload[at + 8] | payload[at + 9] << 8
    return width & 0x3FFF, height & 0x3FFF


def _frame_at(payload: bytes) -> int:
    """Return where the frame begins, when this is its first packet; otherwise 0."""
    size = len(payload)
    if size < 2 or not payload[0] & 0x10 or payload[0] & 0x07:
        return 0
    at = 1
    if payload[0] & 0x80:
        flags = payload[1]
        at = 2
        if flags & 0x80:
            if at >= size:
                return 0
            at += 2 if payload[at] & 0x80 else 1
        if flags & 0x40:
            at += 1
        if flags & 0x30:
            at += 1
    return at


def _fields(payload: bytes) -> tuple[int, int]:
    """Return where picture id and TL0PICIDX stand; 0 for the one that is absent."""
    size = len(payload)
    if size < 3 or not payload[0] & 0x80:
        return 0, 0
    flags, at = payload[1], 2
    picture_at = tl0_at = 0
    if flags & 0x80:
        width = 2 if payload[at] & 0x80 else 1
        if at + width > size:
            return 0, 0
        picture_at = at
        at += width
    if flags & 0x40 and at < size:
        tl0_at = at
    return picture_at, tl0_at


def _found(payload: bytes) -> tuple[int, int]:
    """Return picture id and TL0PICIDX; -1 for the one that is absent."""
    picture_at, tl0_at = _fields(payload)
    return _picture_id(payload, picture_at)[0] if picture_at else -1, payload[tl0_at] if tl0_at else -1


def _picture_id(payload: bytes, at: int) -> tuple[int, bool]:
    if payload[at] & 0x80:
        return (payload[at] & 0x7F) << 8 | payload[at + 1], True
    return payload[at], False
