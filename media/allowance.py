"""How much one peer may send: in a second, and of how many streams ever.

Everything that is decrypted costs time on the worker's one loop, and libsrtp keeps a context for each SSRC
that it finds by walking a list; so both are counted before a packet is touched. A browser stays far below.
"""

_PACKETS, _OCTETS = 2000, 1_000_000  # of media in a second: 8 Mb/s
_REPORTS = 300  # RTCP packets in a second; a viewer who loses much asks often
_CHECKS = 100  # ICE checks in a second over paths that are known
_STREAMS = 64  # SSRCs in the life of a connection, of media and of reports each
_PATIENCE = 5  # seconds over the limit in a row


class Allowance:
    """Counts one transport's packets. `exhausted`: the peer misbehaves and should be cut off."""

    def __init__(self) -> None:
        self.exhausted = False
        self._streams: set[bytes] = set()
        self._reporters: set[bytes] = set()
        self._newest: tuple[set[bytes], bytes] | None = None  # what the last packet was the first of
        self._packets = self._octets = self._reports = self._checks = 0
        self._over = False
        self._seconds_over = 0

    def media(self, ssrc: bytes, size: int) -> bool:
        """Say whether one more RTP packet may be decrypted."""
        self._newest = None
        self._packets += 1
        self._octets += size
        if self._packets > _PACKETS or self._octets > _OCTETS:
            self._over = True
            return False
        return ssrc in self._streams or self._admit(ssrc, self._streams)

    def report(self, ssrc: bytes) -> bool:
        """Say whether one more RTCP packet may be decrypted."""
        self._newest = None
        self._reports += 1
        if self._reports > _REPORTS:
            self._over = True
            return False
        return ssrc in self._reporters or self._admit(ssrc, self._reporters)

    def check(self) -> bool:
        """Say whether one more ICE check may be answered."""
        self._checks += 1
        return self._checks <= _CHECKS

    def take_back(self) -> None:
        """The last packet was forged: no stream began with it. Anybody can write an SSRC on a datagram."""
        if self._newest is not None:
            known, ssrc = self._newest
            known.discard(ssrc)

    def next_second(self) -> None:
        self._packets = self._octets = self._reports = self._checks = 0
        self._seconds_over = self._seconds_over + 1 if self._over else 0
        self._over = False
        if self._seconds_over >= _PATIENCE:
            self.exhausted = True

    def _admit(self, ssrc: bytes, known: set[bytes]) -> bool:
        if len(known) >= _STREAMS:
            self.exhausted = True
            return False
        known.add(ssrc)
        self._newest = known, ssrc
        return True
