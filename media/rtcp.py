"""RTCP packets on the wire (RFC 3550, 4585, 5104, 6051; REMB: draft-alvestrand-rmcat-remb; transport-wide
feedback: draft-holmer-rmcat-transport-wide-cc-extensions-01): pure.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
_FMT_NACK, _FMT_SR_REQ, _FMT_PLI, _FMT_FIR, _FMT_AFB, _FMT_TRANSPORT = 1, 5, 1, 4, 15, 15
_MOST_PACKETS = 32
_MOST_NACKED = 1000
_MOST_ARRIVALS = 500  # told of in one compound: those that did not arrive take no bytes
_TICK = 0.00025  # seconds, the unit of an arrival's distance from the one before


class RtcpError(ValueError):
    """A compound packet whose lengths contradict each other."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """`ntp` is 32.32 fixed point seconds since 1900, `rtp` the same moment in the stream's clock."""

    ssrc: int
    ntp: int
    rtp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """Reception of one stream; `fraction` is of 256, `jitter` in the stream's clock."""

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    lsr: int
    dlsr: int


@dataclass(frozen=True, slots=True)
class Nack:
    media_ssrc: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyframeRequest:
    """A PLI or a FIR."""

    media_ssrc: int


@dataclass(frozen=True, slots=True)
class Remb:
    bitrate: int  # bits per second


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """When the packets from `first` on arrived, in seconds by the receiver's clock; None: not yet."""

    first: int
    arrivals: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Bye:
    ssrcs: tuple[int, ...]


Report = SenderReport | ReportBlock | Nack | KeyframeRequest | Remb | TransportFeedback | Bye


def parse(data: bytes) -> list[Report]:
    """Return what a compound packet says, unknown kinds passed over. Raises RtcpError."""
    found: list[Report] = []
    at, count, arrivals = 0, 0, 0
    while at < len(data):
        count += 1
        if count > _MOST_PACKETS:
            raise RtcpError("more than 32 packets in a compound")
        if at + 4 > len(data) or data[at] >> 6 != 2:
            raise RtcpError("not an RTCP header")
        size = 4 * (1 + (data[at + 2] << 8 | data[at + 3]))
        if at + size > len(data):
            raise RtcpError("a packet is cut off")
        body = data[at : at + size]
        if body[1] == RTPFB and body[0] & 31 == _FMT_TRANSPORT and size >= 20:
            arrivals += body[14] << 8 | body[15]
            if arrivals > _MOST_ARRIVALS:
                raise RtcpError("more than 500 packets in transport feedback")
        found.extend(_packet(body[0] & 31, body[1], body))
        at += size
    return found


def _packet(count: int, kind: int, body: bytes) -> Iterable[Report]:
    try:
        if kind == SR:
            ssrc, ntp, rtp, packets, octets = struct.unpack_from("!LQLLL", body, 4)
            return [SenderReport(ssrc, ntp, rtp, packets, octets), *_blocks(body, 28, count)]
        if kind == RR:
            return _blocks(body, 8, count)
        if kind == BYE:
            return [Bye(struct.unpack_from(f"!{count}L", body, 4))]
        if kind == RTPFB and count == _FMT_NACK:
            return [_nack(body)]
        if kind == RTPFB and count == _FMT_TRANSPORT:
            return [_transport_feedback(body)]
        if kind == PSFB:
            return _payload_feedback(count, body)
    except struct.error as error:
        raise RtcpError("a packet is shorter than its kind") from error
    return ()


def _blocks(body: bytes, at: int, count: int) -> list[Report]:
    blocks: list[Report] = []
    for n in range(count):
        ssrc, loss, highest, jitter, lsr, dlsr = struct.unpack_from("!LLLLLL", body, at + 24 * n)
        lost = loss & 0xFFFFFF
        if lost & 0x800000:
            lost -= 1 << 24
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, lsr, dlsr))
    return blocks


def _nack(body: bytes) -> Nack:
    (media_ssrc,) = struct.unpack_from("!L", body, 8)
    sequences: list[int] = []
    for at in range(12, len(body), 4):
        first, mask = struct.unpack_from("!HH", body, at)
        sequences.append(first)
        sequences += [(first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1]
        if len(sequences) > _MOST_NACKED:
            raise RtcpError("more than 1000 sequence numbers in a NACK")
    return Nack(media_ssrc, tuple(sequences))


def _transport_feedback(body: bytes) -> TransportFeedback:
    first, count, reference = struct.unpack_from("!HHL", body, 12)
    symbols: list[int] = []
    at = 20
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", body, at)
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13 & 3] * min(chunk & 0x1FFF, count - len(symbols))
            if not chunk & 0x1FFF:
                raise RtcpError("a run of no packets")
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    arrivals: list[float | None] = []
    ticks = (reference >> 8) * 256
    for symbol in symbols[:count]:
        if symbol in {1, 2}:
            (distance,) = struct.unpack_from("!B" if symbol == 1 else "!h", body, at)
            at += symbol
            ticks += distance
        arrivals.append(ticks * _TICK if symbol in {1, 2} else None)
    return TransportFeedback(first, tuple(arrivals))


def _payload_feedback(fmt: int, body: bytes) -> list[Report]:
    if fmt == _FMT_PLI:
        return [KeyframeRequest(struct.unpack_from("!L", body, 8)[0])]
    if fmt == _FMT_FIR:
        return [KeyframeRequest(struct.unpack_from("!L", body, at)[0]) for at in range(12, len(body) - 7, 8)]
    if fmt == _FMT_AFB and body[12:16] == b"REMB":
        if len(body) < 20:
            raise RtcpError("a REMB is cut off")
        exponent = body[17] >> 2
        mantissa = (body[17] & 3) << 16 | body[18] << 8 | body[19]
        return [Remb(min(mantissa << exponent, 1 << 40))]
    return []


def _head(count: int, kind: int, size: int) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, size // 4 - 1)


def sender_report(ssrc: int, ntp: int, rtp: int, packets: int, octets: int) -> bytes:
    body = struct.pack("!LQLLL", ssrc, ntp, rtp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    return _head(0, SR, 28) + body


def receiver_report(ssrc: int, blocks: Sequence[ReportBlock]) -> bytes:
    body = b"".join(
        struct.pack(
            "!LLLLLL",
            block.ssrc,
            block.fraction << 24 | max(-0x800000, min(block.lost, 0x7FFFFF)) & 0xFFFFFF,
            block.highest & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.lsr,
            block.dlsr & 0xFFFFFFFF,
        )
        for block in blocks[:31]
    )
    return _head(len(blocks[:31]), RR, 8 + len(body)) + struct.pack("!L", ssrc) + body


def picture_loss(ssrc: int, media_ssrc: int) -> bytes:
    return _head(_FMT_PLI, PSFB, 12) + struct.pack("!LL", ssrc, media_ssrc)


def report_request(ssrc: int, media_ssrc: int) -> bytes:
    """Ask for a sender report at once (RFC 6051, section 3.2)."""
    return _head(_FMT_SR_REQ, RTPFB, 12) + struct.pack("!LL", ssrc, media_ssrc)


def nack(ssrc: int, media_ssrc: int, sequences: Sequence[int]) -> bytes:
    """Ask for packets again; sequence numbers that lie close share a field."""
    fields: list[tuple[int, int]] = []
    for sequence in sequences:
        if fields:
            first, mask = fields[-1]
            distance = (sequence - first) & 0xFFFF
            if 1 <= distance <= 16:
                fields[-1] = (first, mask | 1 << (distance - 1))
                continue
        fields.append((sequence, 0))
    body = b"".join(struct.pack("!HH", *field) for field in fields)
    return _head(_FMT_NACK, RTPFB, 12 + len(body)) + struct.pack("!LL", ssrc, media_ssrc) + body


def transport_feedback(body: bytes) -> bytes:
    """Wrap what media/arrivals.py says; the last byte of the padding counts it (RFC 3550, section 6.4.1)."""
    padding = -len(body) % 4
    body += bytes(padding - 1) + bytes((padding,)) if padding else b""
    head = _head(_FMT_TRANSPORT, RTPFB, 4 + len(body))
    return bytes((head[0] | (0x20 if padding else 0),)) + head[1:] + body


def remb(ssrc: int, bitrate: int, media_ssrcs: Sequence[int]) -> bytes:
    """Cap a sender: at most `bitrate` bits per second for these streams together."""
    exponent = max(0, bitrate.bit_length() - 18)
    mantissa = bitrate >> exponent
    body = struct.pack(
        "!LL4sBBH",
        ssrc,
        0,
        b"REMB",
        len(media_ssrcs),
        exponent << 2 | mantissa >> 16,
        mantissa & 0xFFFF,
    ) + struct.pack(f"!{len(media_ssrcs)}L", *media_ssrcs)
    return _head(_FMT_AFB, PSFB, 4 + len(body)) + body
