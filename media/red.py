"""Sound that carries the frame before again (RED, RFC 2198): what is lost alone is not missed."""

PAYLOAD_TYPE = 63


def primary(payload: bytes) -> bytes:
    """Return the newest frame without the older ones; b'' when the lengths contradict each other."""
    at, older = 0, 0
    while at < len(payload) and payload[at] & 0x80:
        if at + 4 > len(payload):
            return b""
        older += (payload[at + 2] & 3) << 8 | payload[at + 3]
        at += 4
    return payload[at + 1 + older :] if at + 1 + older <= len(payload) else b""
