"""The H.264 payload (RFC 6184) as far as forwarding needs it: where a keyframe begins, how large it is. Pure.

A viewer may enter at a sequence parameter set, which encoders for real-time links send before each IDR
picture, alone or in one packet with what follows it.
"""

from collections.abc import Iterator

_SPS, _STAP_A = 7, 24
_WITH_CHROMA = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # profiles (H.264, 7.3.2.1.1)
_MOST_UNITS = 32
_LONGEST_CODE = 32


class _Short(ValueError):
    """The parameter set ends before its fields do."""


def is_keyframe(payload: bytes) -> bool:
    """Say whether a viewer may enter with this packet."""
    return any(unit[0] & 0x1F == _SPS for unit in _units(payload))


def frame_size(payload: bytes) -> tuple[int, int] | None:
    """Return width and height, as the sequence parameter set in this packet tells; None without one."""
    for unit in _units(payload):
        if unit[0] & 0x1F == _SPS:
            try:
                return _size(_Bits(unit[1:].replace(b"\0\0\3", b"\0\0")))
            except _Short:
                return None
    return None


def _units(payload: bytes) -> Iterator[bytes]:
    """Return the network abstraction units that are whole in a packet, none of them empty."""
    if not payload:
        return
    if payload[0] & 0x1F != _STAP_A:
        yield payload
        return
    at = 1
    for _ in range(_MOST_UNITS):
        size = int.from_bytes(payload[at : at + 2], "big")
        unit = payload[at + 2 : at + 2 + size]
        if not unit or len(unit) < size:
            return
        yield unit
        at += 2 + size


class _Bits:
    """Reads a parameter set bit by bit. Raises _Short at its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:256], "big")
        self._left = 8 * min(len(data), 256)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise _Short
        return self._value >> self._left & (1 << count) - 1

    def code(self) -> int:
        """Return an Exp-Golomb code (9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _LONGEST_CODE:
                raise _Short
        return (1 << zeros) - 1 + self.take(zeros)


def _size(bits: _Bits) -> tuple[int, int]:
    """Read a sequence parameter set as far as its cropping (7.3.2.1.1)."""
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.code()
    chroma = 1
    if profile in _WITH_CHROMA:
        chroma = _chroma(bits)
    bits.code()
    _order(bits)
    bits.code()
    bits.take(1)
    width, height = bits.code() + 1, bits.code() + 1  # in macroblocks, and in pairs of them when interlaced
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    crop = [bits.code() for _ in range(4)] if bits.take(1) else [0, 0, 0, 0]
    across = 2 if chroma in {1, 2} else 1
    down = (2 if chroma == 1 else 1) * (2 - frames_only)
    size = (
        16 * width - across * (crop[0] + crop[1]),
        16 * height * (2 - frames_only) - down * (crop[2] + crop[3]),
    )
    if not (0 < size[0] <= 1 << 14 and 0 < size[1] <= 1 << 14):
        raise _Short
    return size


def _chroma(bits: _Bits) -> int:
    chroma = bits.code()
    if chroma == 3 and bits.take(1):
        chroma = 0  # three planes apart, each cropped as one
    bits.code()
    bits.code()
    bits.take(1)
    if bits.take(1):
        for n in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _scaling(bits, 16 if n < 6 else 64)
    return chroma


def _scaling(bits: _Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            following = (last + _signed(bits)) % 256
        last = following or last


def _signed(bits: _Bits) -> int:
    code = bits.code()
    return (code + 1) // 2 if code % 2 else -(code // 2)


def _order(bits: _Bits) -> None:
    """Pass over how pictures are counted."""
    kind = bits.code()
    if kind == 0:
        bits.code()
    elif kind == 1:
        bits.take(1)
        bits.code()
        bits.code()
        count = bits.code()
        if count > 255:
            raise _Short
        for _ in range(count):
            bits.code()
