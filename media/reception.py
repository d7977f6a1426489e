"""Reception figures of one RTP stream (RFC 3550, appendix A.3 and A.8)."""

from media import rtcp


class Reception:
    """Counts what came of one SSRC."""

    def __init__(self, clock: int) -> None:
        self._clock = clock
        self._first = -1
        self._highest = 0
        self._cycles = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self.received = 0

    def note(self, sequence: int, timestamp: int, now: float) -> None:
        self.received += 1
        if self._first < 0:
            self._first = self._highest = sequence
        elif (sequence - self._highest) & 0xFFFF < 0x8000:
            if sequence < self._highest:
                self._cycles += 0x10000
            self._highest = sequence
        transit = now * self._clock - timestamp
        if self._transit is not None:
            self._jitter += (min(abs(transit - self._transit), 1e9) - self._jitter) / 16
        self._transit = transit

    def block(self, ssrc: int, lsr: int, dlsr: int) -> rtcp.ReportBlock:
        """Return the report since the last one."""
        extended = self._cycles + self._highest
        expected = extended - self._first + 1
        lost = expected - self.received
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = min(255, max(0, lost_now) * 256 // expected_now) if expected_now > 0 else 0
        return rtcp.ReportBlock(ssrc, fraction, lost, extended, int(self._jitter) & 0xFFFFFFFF, lsr, dlsr)
