"""Sound that carries the frame before again (RED, RFC 2198): what is lost alone is not missed."""

from collections import deque

PAYLOAD_TYPE = 63
_MOST_FILLED = 2  # packets, out of one
_REMEMBERED = 1024  # numbers: as late as SRTP takes one, or it would be sent twice with another content


def frames(payload: bytes) -> list[tuple[int, bytes]]:
    """Return each frame with how much older it is than the newest, in ticks of its clock, the newest last;
    [] when the lengths contradict each other.
    """
    at, older = 0, []
    while at < len(payload) and payload[at] & 0x80:
        if at + 4 > len(payload):
            return []
        word = int.from_bytes(payload[at + 1 : at + 4], "big")
        older.append((word >> 10, word & 0x3FF))
        at += 4
    at += 1
    found: list[tuple[int, bytes]] = []
    for offset, length in older:
        found.append((offset, payload[at : at + length]))
        at += length
    return [*found, (0, payload[at:])] if at <= len(payload) else []


def primary(payload: bytes) -> bytes:
    """Return the newest frame without the older ones; b'' when the lengths contradict each other."""
    found = frames(payload)
    return found[-1][1] if found else b""


class Gaps:
    """Packets of one stream that were lost on the way in, and come with the next. Numbers are 16 bits."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self.missing = 0  # right before the one that came last
        self._filled: deque[int] = deque(maxlen=_REMEMBERED)

    def received(self, sequence: int, _now: float) -> bool:
        """Note a packet; return False when it was filled in already."""
        newest = sequence if self._newest is None else self._newest
        ahead = (sequence - newest) & 0xFFFF
        is_late = ahead >= 0x8000
        self.missing = 0 if is_late else max(0, ahead - 1)
        if not is_late:
            self._newest = sequence
        return not (is_late and sequence in self._filled)

    def fill(self, sequence: int, payload: bytes) -> list[tuple[int, int, bytes]]:
        """Return what a packet, which came last, has of those missing before it, the oldest first: number,
        age, frame.
        """
        missing, self.missing = min(self.missing, _MOST_FILLED), 0
        older = frames(payload)[:-1][-missing:] if missing else []
        filled = [
            ((sequence - len(older) + n) & 0xFFFF, age, frame)
            for n, (age, frame) in enumerate(older)
            if frame and age
        ]
        self._filled.extend(number for number, *_ in filled)
        return filled
