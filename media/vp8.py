"""The VP8 payload descriptor (RFC 7741, section 4.2): keyframes, and continuity over sources."""

import struct
from dataclasses import dataclass

_BOTH = struct.Struct("!HB")  # a picture id of two bytes, and TL0PICIDX


@dataclass(slots=True)
class Continuity:
    """What is added to picture id and TL0PICIDX so that a viewer sees one stream."""

    picture: int = 0
    tl0: int = 0
    last_picture: int = -1
    last_tl0: int = -1

    def restart(self, payload: bytes) -> None:
        """Begin a new source with this keyframe: its numbers continue the last ones sent."""
        picture_at, tl0_at = _fields(payload)
        if picture_at:
            picture, _ = _picture_id(payload, picture_at)
            self.picture = 0 if self.last_picture < 0 else self.last_picture + 1 - picture
        if tl0_at:
            self.tl0 = 0 if self.last_tl0 < 0 else self.last_tl0 + 1 - payload[tl0_at]

    def rewrite(self, payload: bytes) -> bytes:
        """Return the payload with shifted numbers, of the same length."""
        picture_at, tl0_at = _fields(payload)
        if picture_at:
            picture, wide = _picture_id(payload, picture_at)
            picture = (picture + self.picture) & (0x7FFF if wide else 0x7F)
            if self.last_picture < 0 or (picture - self.last_picture) & 0x7FFF < 0x4000:
                self.last_picture = picture
        if tl0_at:
            tl0 = (payload[tl0_at] + self.tl0) & 0xFF
            if self.last_tl0 < 0 or (tl0 - self.last_tl0) & 0xFF < 0x80:
                self.last_tl0 = tl0
        if not self.picture and not self.tl0:
            return payload
        return shifted(payload, self.picture, self.tl0)


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
    picture_at, tl0_at = _fields(payload)
    picture = _picture_id(payload, picture_at)[0] if picture_at else 0
    return picture, payload[tl0_at] if tl0_at else 0


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


def _picture_id(payload: bytes, at: int) -> tuple[int, bool]:
    if payload[at] & 0x80:
        return (payload[at] & 0x7F) << 8 | payload[at + 1], True
    return payload[at], False
