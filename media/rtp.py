"""RTP packets on the wire (RFC 3550, header extensions RFC 8285): parse and serialise, pure."""

import struct
from collections.abc import Iterator, Mapping

HEADER = struct.Struct("!BBHLL")
HEADER_SIZE = HEADER.size
SHORTEST, LONGEST = 12, 1500  # bytes of a datagram we look at

URI_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
URI_RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
URI_REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
URI_AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
URI_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
URI_TRANSPORT_SEQUENCE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
SEND_TIME, SEND_TIME_SIZE = 3, 8  # the id we offer it under, and its bytes in a packet
TRANSPORT_SEQUENCE, COUNTED_SIZE = 4, 4  # the id we offer it under, and its bytes beside a time of sending

_ONE_BYTE, _TWO_BYTE, _TWO_BYTE_MASK = 0xBEDE, 0x1000, 0xFFF0
_ONE_BYTE_HEAD = _ONE_BYTE.to_bytes(2, "big")
_LONGEST_EXTENSION = 260  # bytes, its head among them: browsers' take a third, and to walk them takes time


class RtpError(ValueError):
    """The packet's lengths contradict each other."""


def is_rtcp(data: bytes) -> bool:
    """Tell RTCP from RTP on one port (RFC 5761, section 4): packet types 192 to 223."""
    return 192 <= data[1] <= 223


def counted(packet: bytes, number: int, extension: int) -> bytes:
    """Return one of our packets, of no extension or the time of sending, with a transport-wide number."""
    ours = packet[HEADER_SIZE + 4 : HEADER_SIZE + SEND_TIME_SIZE] if packet[0] & 0x10 else b""
    block = ours + bytes((extension << 4 | 1,)) + number.to_bytes(2, "big") + b"\0"
    rest = packet[HEADER_SIZE + SEND_TIME_SIZE if ours else HEADER_SIZE :]
    head = bytes((packet[0] | 0x10,)) + packet[1:HEADER_SIZE]
    return head + _ONE_BYTE_HEAD + (len(block) // 4).to_bytes(2, "big") + block + rest


def parts(packet: memoryview | bytes, size: int) -> tuple[bytes, bytes]:
    """Return a decrypted packet's header extension, with its own head and b'' for none, and its payload.
    Raises RtpError.
    """
    first = packet[0]
    at = begin = HEADER_SIZE + 4 * (first & 0x0F)
    if first & 0x10:
        if begin + 4 > size:
            raise RtpError("the header extension is cut off")
        begin += 4 + 4 * (packet[begin + 2] << 8 | packet[begin + 3])
        if begin - at > _LONGEST_EXTENSION:
            raise RtpError("the header extension is too long")
    end = size
    if first & 0x20:
        padding = packet[size - 1]
        if padding == 0:
            raise RtpError("padding of zero bytes")
        end -= padding
    if begin > end:
        raise RtpError("header and padding overlap")
    return bytes(packet[at:begin]), bytes(packet[begin:end])


def element(extension: bytes, wanted: int) -> bytes:
    """Return one element of a header extension, b'' if it is not there. Raises RtpError.

    What stands behind it is not looked at.
    """
    if extension[:2] != _ONE_BYTE_HEAD:  # what browsers send is walked without a generator
        return next((one for number, one in _elements(extension) if number == wanted), b"")
    at, end = 4, len(extension)
    while at < end:
        head = extension[at]
        at += 1
        if head == 0:
            continue
        if head >> 4 == 15:
            break
        after = at + 1 + (head & 15)
        if after > end:
            raise RtpError("a header extension element is cut off")
        if head >> 4 == wanted:
            return extension[at:after]
        at = after
    return b""


def elements(extension: bytes) -> Mapping[int, bytes]:
    """Return all elements of a header extension by id, of two with one id the first. Raises RtpError."""
    found: dict[int, bytes] = {}
    for number, one in _elements(extension):
        found.setdefault(number, one)
    return found


def _elements(extension: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield ids and elements, in order."""
    profile = int.from_bytes(extension[:2], "big")
    wide = profile & _TWO_BYTE_MASK == _TWO_BYTE
    at, end = 4 if wide or profile == _ONE_BYTE else len(extension), len(extension)
    while at < end:
        head = extension[at]
        number = head if wide else head >> 4
        if head == 0:
            at += 1
            continue
        if number == 15 and not wide:
            break
        begin = at + 2 if wide else at + 1
        if begin > end:
            raise RtpError("a header extension element is cut off")
        after = begin + extension[at + 1] if wide else begin + (head & 15) + 1
        if after > end:
            raise RtpError("a header extension element is cut off")
        yield number, extension[begin:after]
        at = after


_SEND_TIME_HEAD = bytes((0xBE, 0xDE, 0, 1, SEND_TIME << 4 | 2))


def send_time(now: float) -> bytes:
    """Return a header extension that says when a packet is sent: 24 bits, of them 18 behind the point."""
    return _SEND_TIME_HEAD + (int(now * 0x40000) & 0xFFFFFF).to_bytes(3, "big")


def is_newer(a: int, b: int) -> bool:
    """Say whether sequence number `a` follows `b` (16 bits, RFC 1982)."""
    return a != b and (a - b) & 0xFFFF < 0x8000
