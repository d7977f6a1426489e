"""The connection a participant watches on: we offer every place of the stage, the client answers."""

from collections.abc import Callable, Sequence

from media import rtcp
from media.sdp import Description, write
from media.slot import PAYLOAD_TYPES, RTX_PAYLOAD_TYPE, Place, Slot
from media.transport import Transport, Wiring

_NACKED_PER_SECOND = 200
_KEYFRAMES_PER_SECOND = 2


class SubscribeTransport(Transport):
    """Receives what its room sends; asks for what it lost."""

    def __init__(
        self,
        wiring: Wiring,
        on_state: Callable[[Transport, str], None],
        slots: Sequence[Slot],
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(wiring, on_state)
        self.remb = 0  # what the viewer says it can take, bits per second
        self._slots = slots
        self._by_ssrc = {slot.place.ssrc: slot for slot in slots}
        self._on_ready = on_ready
        self._version = 0
        self._rtx_sequence = dict.fromkeys((slot.place.rtx_ssrc for slot in slots), 0x0FFF)
        self._nacked = 0
        self._keyframes = 0

    def offer(self, *, restart: bool) -> str:
        """Return our offer; with `restart`, of new ICE credentials on the same keys."""
        if restart and self._task is not None:
            self.restart_ice()
        self._version += 1
        local = self.local("actpass").lines()
        sections = [(slot.place.mid, _lines(slot.place, local)) for slot in self._slots]
        return write(self.id, self._version, sections)

    def accept(self, answer: Description) -> None:
        """Take the client's answer and begin the handshake. Raises NewPeerCertificate."""
        self.connect(answer, server=answer.setup != "passive")

    def on_connected(self) -> None:
        self._on_ready()

    def on_report(self, report: rtcp.Report) -> None:
        if isinstance(report, rtcp.Nack):
            self._resend(report)
        elif isinstance(report, rtcp.KeyframeRequest):
            slot = self._by_ssrc.get(report.media_ssrc)
            if slot is not None and slot.producer is not None:
                self._keyframes += 1
                if self._keyframes <= _KEYFRAMES_PER_SECOND * len(self._slots):
                    slot.producer.request_keyframe()
        elif isinstance(report, rtcp.Remb):
            self.remb = report.bitrate

    def _resend(self, nack: rtcp.Nack) -> None:
        slot = self._by_ssrc.get(nack.media_ssrc)
        if slot is None:
            return
        for sequence in nack.sequences:
            self._nacked += 1
            if self._nacked > _NACKED_PER_SECOND:
                return
            packet = slot.again(sequence)
            if packet is not None:
                self.send_rtp(self._wrap(slot.place, packet, sequence))
                self._wiring.mux.sent_again += 1

    def _wrap(self, place: Place, packet: bytes, sequence: int) -> bytes:
        """Return the retransmission (RFC 4588): an own stream, the first number in front."""
        rtx = (self._rtx_sequence[place.rtx_ssrc] + 1) & 0xFFFF
        self._rtx_sequence[place.rtx_ssrc] = rtx
        return (
            packet[:1]
            + bytes((packet[1] & 0x80 | RTX_PAYLOAD_TYPE,))
            + rtx.to_bytes(2, "big")
            + packet[4:8]
            + place.rtx_ssrc.to_bytes(4, "big")
            + sequence.to_bytes(2, "big")
            + packet[12:]
        )

    def tick(self, now: float) -> None:
        super().tick(now)
        self._nacked = self._keyframes = 0
        if not self.connected:
            return
        reports = b"".join(slot.sender_report() for slot in self._slots)
        if reports:
            self.send_rtcp(reports)


def _lines(place: Place, local: Sequence[str]) -> list[str]:
    payload_type = PAYLOAD_TYPES[place.kind]
    lines = [
        f"m={place.kind} 9 UDP/TLS/RTP/SAVPF {payload_type}"
        + (f" {RTX_PAYLOAD_TYPE}" if place.kind == "video" else ""),
        "c=IN IP4 0.0.0.0",
        f"a=mid:{place.mid}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=sendonly",
        *local,
        f"a=msid:{place.stream} {place.stream}-{place.source}",
    ]
    if place.kind == "audio":
        lines += [
            f"a=rtpmap:{payload_type} opus/48000/2",
            f"a=fmtp:{payload_type} minptime=10;useinbandfec=1",
            f"a=ssrc:{place.ssrc} cname:{place.stream}",
        ]
        return lines
    lines += [
        f"a=rtpmap:{payload_type} VP8/90000",
        f"a=rtcp-fb:{payload_type} nack",
        f"a=rtcp-fb:{payload_type} nack pli",
        f"a=rtcp-fb:{payload_type} ccm fir",
        f"a=rtpmap:{RTX_PAYLOAD_TYPE} rtx/90000",
        f"a=fmtp:{RTX_PAYLOAD_TYPE} apt={payload_type}",
        f"a=ssrc-group:FID {place.ssrc} {place.rtx_ssrc}",
        f"a=ssrc:{place.ssrc} cname:{place.stream}",
        f"a=ssrc:{place.rtx_ssrc} cname:{place.stream}",
    ]
    return lines
