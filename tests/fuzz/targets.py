"""What a stranger's bytes reach first. Each target takes any bytes and raises nothing: the errors its parser
declares are caught here, everything else is a fault.
"""

import asyncio
import functools
import hmac
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from aioice import stun as stun_messages

from media import channel, h264, red, rtcp, rtp, sdp, sealing, vp8
from media.arrivals import Arrivals
from media.burst import Audience
from media.draft import Draft
from media.draft import packet as laid_out
from media.formats import H264, OPUS, VP8
from media.ice import IceLite, local_ufrag_of
from media.layer import Layer
from media.producer import Producer
from media.slot import Slot, stage
from media.tcp import TcpPath
from media.timeline import SenderClock
from tests.media.listeners import Direct

Target = Callable[[bytes], None]


def stun(data: bytes) -> None:
    """A check as it comes, and one of somebody who knows the password and has these attributes signed."""
    ice = IceLite("w")
    ice.ufrag, ice.password = "UFRAG", "PASSWORD"
    address = ("192.0.2.1", 1)
    signed = _signed(data[: len(data) // 4 * 4], ice.password.encode())
    for one in (data, signed):
        named = local_ufrag_of(one)
        reply = ice.answer(one, address, address, 0.0)
        if reply is not None:
            assert one is signed or named == ice.ufrag
            assert reply[4:20] == one[4:20]
            assert stun_messages.parse_message(reply).check_message_integrity(ice.password.encode())
    assert ice.answer(_signed(b"", ice.password.encode()), address, address, 0.0)


def _signed(attributes: bytes, password: bytes) -> bytes:
    """Return a check for UFRAG with these attributes, whatever they are."""
    body = b"\x00\x06\x00\x0aUFRAG:peer\x00\x00" + attributes

    def head(more: int) -> bytes:
        return struct.pack("!HHL12s", 1, len(body) + more, 0x2112A442, b"transaction.")

    body += b"\x00\x08\x00\x14" + hmac.digest(password, head(24) + body, "sha1")
    return head(8) + body + b"\x80\x28\x00\x04" + (zlib.crc32(head(8) + body) ^ 0x5354554E).to_bytes(4, "big")


def rtp_packet(data: bytes) -> None:
    if not rtp.SHORTEST <= len(data) <= rtp.LONGEST:
        return
    try:
        extension, payload = rtp.parts(data, len(data))
        assert rtp.HEADER_SIZE + len(extension) + len(payload) <= len(data)
        for number, element in rtp.elements(extension).items():
            assert len(element) <= 255
            assert rtp.element(extension, number) == element
    except rtp.RtpError:
        pass


def rtcp_packet(data: bytes) -> None:
    try:
        reports = rtcp.parse(data)
    except rtcp.RtcpError:
        return
    assert len(reports) <= 32 * 512
    for report in reports:
        if isinstance(report, rtcp.Nack):
            assert all(0 <= one <= 0xFFFF for one in report.sequences)


def description(data: bytes) -> None:
    try:
        found = sdp.parse(data.decode("utf-8", "replace"))
    except sdp.SdpError:
        return
    assert len(found.sections) <= 32
    assert all(0 <= codec.payload_type <= 127 for section in found.sections for codec in section.codecs)


def vp8_payload(data: bytes) -> None:
    vp8.is_keyframe(data)
    vp8.frame_size(data)
    picture, tl0 = vp8.numbers(data)
    flow = vp8.Continuity()
    flow.restart(data, data[::-1])
    assert len(flow.rewrite(data)) == len(data)
    assert len(vp8.shifted(data, 0x7FFF - picture, 0xFF - tl0)) == len(data)


def h264_payload(data: bytes) -> None:
    h264.is_keyframe(data)
    size = h264.frame_size(data)
    assert size is None or all(0 < side <= 1 << 14 for side in size)


def red_payload(data: bytes) -> None:
    assert len(red.primary(data)) <= len(data)


class _Mux:
    """Takes a frame for a check when it begins as one."""

    def datagram(self, frame: bytes, _path: object, _address: object) -> bytes | None:
        assert rtp.SHORTEST <= len(frame) <= rtp.LONGEST
        return b"reply" if frame[0] < 4 else None


class _Socket:
    def __init__(self) -> None:
        self.closed = False

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        return "192.0.2.1", 1

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def write(self, _data: bytes) -> None: ...

    def abort(self) -> None:
        self.closed = True


class _Listener:
    mux = _Mux()

    def admit(self, _path: object) -> bool:
        return True

    def lost(self, _path: object) -> None: ...


async def _framed(pieces: Iterator[bytes]) -> None:
    listener, socket = _Listener(), _Socket()
    path = TcpPath(listener)  # type: ignore[arg-type]
    path.connection_made(socket)  # type: ignore[arg-type]
    for piece in pieces:
        if socket.closed:
            break
        path.data_received(piece)
    path.connection_lost(None)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def tcp_stream(data: bytes) -> None:
    """Frames cut anywhere; the first byte says how long the pieces are."""
    step = (data[0] if data else 0) + 1
    _loop().run_until_complete(_framed(data[at : at + step] for at in range(1, len(data), step)))


def control_message(data: bytes) -> None:
    try:
        message = channel.unpack(data)
    except channel.ControlError:
        return
    assert isinstance(message, list)
    try:
        _, method, arguments = channel.call_of(message)
    except channel.ControlError:
        return
    assert isinstance(method, str)
    assert isinstance(arguments, dict)


def sealed_message(data: bytes) -> None:
    """Datagrams at the port of other hosts, some of which were sealed and then changed."""
    key = bytes(32)
    sealer, opener = sealing.Sealer(key), sealing.Opener(key)
    real = sealer.datagram(b"connect.", data[:64])
    for datagram in (
        data,
        real,
        bytes(a ^ b for a, b in zip(real, data.ljust(len(real), b"\0"), strict=False)),
    ):
        try:
            opener.datagram(datagram)
        except sealing.SealError:
            continue
        assert datagram == real


class _Burst:
    def forget(self, one: object) -> None: ...
    def finish(self, of: object) -> None: ...

    def burst(self, drafts: list[Draft], audiences: list[Audience], *, pictures: bool, of: object) -> None:
        for audience in audiences:
            for draft in drafts:
                assert len(laid_out(draft, audience.shift, audience.types)) == draft.size


class _Viewer(Direct):
    """Somebody who watches, so that packets are laid out."""

    def __init__(self) -> None:
        self.sent = 0

    def target(self) -> None:
        return None

    def send_rtp(self, packet: bytes) -> None:
        self.sent += len(packet)


async def _forwarded(data: bytes) -> None:
    from media.view import View  # noqa: PLC0415 - the others need none of it

    sender: Any = _Burst()
    kinds = (OPUS, VP8, H264)
    payload_format = kinds[data[0] % 3]
    source = "microphone" if payload_format is OPUS else "camera"
    slot = Slot(next(one for one in stage() if one.source == source), sender)
    producer = Producer(
        mid="1",
        owner="teacher",
        source=source,
        payload_format=payload_format,
        payload_type=96,
        rtx_payload_type=97,
        red_payload_type=63,
        rids=(),
        clock=SenderClock(answers=True),
        stand=slot,
        send_rtcp=rtcp_packet,
        on_asked=lambda _count: None,
    )
    slot.take(producer)
    layer: Layer = producer.layers[0]
    layer.ssrc = 7
    viewer: Any = _Viewer()
    view = View(slot, viewer)
    view.watch(0)
    now, at = 0.0, 1
    while at + 5 <= len(data):
        kind, sequence, size = data[at], data[at + 1] << 8 | data[at + 2], data[at + 3]
        payload = data[at + 4 : at + 4 + size]
        at += 4 + size
        now += 0.02
        marker, stamp = kind & 0x80, sequence * 3000 & 0xFFFFFFFF
        if kind & 4 and len(payload) >= 12:
            ntp, rtp_time = struct.unpack_from("!QL", payload)
            layer.on_sender_report(rtcp.SenderReport(7, ntp, rtp_time, 0, 0), now)
            view.sender_report()
        if kind & 1:
            layer.on_rtx(payload, marker, stamp, now)
        else:
            layer.on_rtp(payload, marker, sequence, stamp, now, red=bool(kind & 2) and payload_format is OPUS)
        layer.tick(now)
        view.again(sequence)
    for strand in slot.strands:
        strand.flush()
    view.sender_report()
    slot.close()


def forwarding(data: bytes) -> None:
    """A publisher's packets and reports, in any order and number, on their whole way to a viewer."""
    if data:
        _loop().run_until_complete(_forwarded(data))


def arrivals(data: bytes) -> None:
    """Numbers of transport feedback as a publisher likes to write them."""
    noted, now = Arrivals(), 1.0
    for sequence, step in struct.iter_unpack("!HB", data[: len(data) // 3 * 3]):
        now += step / 1000
        noted.note(sequence, now)
    for packet in noted.feedback(7):
        assert len(packet) % 4 == 0
        assert len(packet) <= 4 * (1 + (packet[2] << 8 | packet[3])) <= rtp.LONGEST
        rtcp_packet(packet)


TARGETS: dict[str, Target] = {
    one.__name__: one
    for one in (
        stun,
        rtp_packet,
        rtcp_packet,
        description,
        vp8_payload,
        h264_payload,
        red_payload,
        tcp_stream,
        control_message,
        sealed_message,
        forwarding,
        arrivals,
    )
}
