"""The connection a participant sends on: the client offers, we answer what it may send."""

import time
from collections.abc import Callable, Mapping

from media import rtcp
from media.producer import Producer
from media.rtp import HEADER, URI_MID, extensions, payload_bounds
from media.sdp import Codec, Description, Section, write
from media.slot import Slot
from media.transport import Transport, Wiring

_MOST_SSRCS = 16
_CODECS = {"audio": "opus", "video": "vp8"}
_KINDS = {"camera": "video", "screen": "video", "microphone": "audio"}
_BITRATE_CAPS = {"camera": 1_700_000, "screen": 2_500_000, "microphone": 128_000}
_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb")

Claim = Callable[[str, str], Slot]  # (mid, source) -> its place; raises what refuses it


class PublishRefused(Exception):
    """A section may not be sent; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PublishTransport(Transport):
    """Carries producers. A packet that belongs to none is dropped before it is decrypted."""

    def __init__(self, wiring: Wiring, on_state: Callable[[Transport, str], None]) -> None:
        super().__init__(wiring, on_state)
        self.producers: dict[str, Producer] = {}  # by mid
        self._by_ssrc: dict[bytes, Producer] = {}
        self._rtx: dict[bytes, Producer] = {}
        self._mid_extension = 0
        self._version = 0

    def answer(
        self, offer: Description, sources: Mapping[str, str], claim: Claim
    ) -> tuple[str, dict[str, str]]:
        """Answer an offer: sections of `sources` (mid -> source) that may send get a place.

        Returns the answer and, by mid, the code that refused a section. Raises SdpError,
        NewPeerCertificate.
        """
        if self.is_restart(offer):
            self.restart_ice()
        self.connect(offer, server=offer.setup != "passive")
        setup = "active" if offer.setup == "passive" else "passive"
        self._version += 1
        refused: dict[str, str] = {}
        wanted: dict[str, tuple[Section, Codec]] = {}
        for section in offer.sections:
            codec = _usable(section)
            source = sources.get(section.mid)
            if not section.sends or codec is None or source is None:
                continue
            taken = source in {sources[mid] for mid in wanted}
            if taken or _KINDS.get(source) != section.kind:
                refused[section.mid] = "invalid"
            else:
                wanted[section.mid] = section, codec
        for mid, producer in list(self.producers.items()):
            if mid not in wanted or producer.source != sources[mid]:
                self.remove(mid)
        for mid, (section, codec) in wanted.items():
            if mid not in self.producers:
                try:
                    slot = claim(mid, sources[mid])
                except PublishRefused as refusal:
                    refused[mid] = refusal.code
                    continue
                self._add(section, codec, sources[mid], slot)
            self._bind(section, self.producers[mid])
        sections = [
            (one.mid if _usable(one) else None, self._lines(one, wanted, setup)) for one in offer.sections
        ]
        return write(self.id, self._version, sections), refused

    def _add(self, section: Section, codec: Codec, source: str, slot: Slot) -> None:
        producer = Producer(
            mid=section.mid,
            source=source,
            kind=section.kind,
            payload_type=codec.payload_type,
            rtx_payload_type=codec.rtx_payload_type,
            sink=slot,
            send_rtcp=self.send_rtcp,
            on_asked=self._asked_again,
        )
        self.producers[section.mid] = producer
        slot.take(producer)

    def _bind(self, section: Section, producer: Producer) -> None:
        """Learn the SSRCs the offer names; a client that names none is bound by its MID extension."""
        self._mid_extension = section.extensions.get(URI_MID, self._mid_extension)
        for media, rtx in section.rtx_of.items():
            self._name(media, producer)
            self._name_rtx(rtx.to_bytes(4, "big"), producer)
        if not section.rtx_of and len(section.ssrcs) == 1:
            self._name(section.ssrcs[0], producer)

    def _name(self, ssrc: int, producer: Producer) -> None:
        if ssrc == producer.ssrc or not self._has_room():
            return
        if producer.ssrc is not None:  # the client began a new stream on the same section
            self._by_ssrc.pop(producer.ssrc.to_bytes(4, "big"), None)
            producer.restart()
        self._by_ssrc[ssrc.to_bytes(4, "big")] = producer
        producer.ssrc = ssrc

    def _name_rtx(self, ssrc: bytes, producer: Producer) -> None:
        if self._has_room():
            self._rtx[ssrc] = producer

    def _has_room(self) -> bool:
        """Libsrtp keeps a context per SSRC: a peer may name a few."""
        return len(self._by_ssrc) + len(self._rtx) < _MOST_SSRCS

    def _lines(self, section: Section, wanted: Mapping[str, tuple[Section, Codec]], setup: str) -> list[str]:
        codec = _usable(section)
        if codec is None:
            return [
                f"m={section.kind} 0 {section.protocol} {section.payload_types}",
                "c=IN IP4 0.0.0.0",
                f"a=mid:{section.mid}",
                "a=inactive",
            ]
        producer = self.producers.get(section.mid)
        head = f"m={section.kind} 9 UDP/TLS/RTP/SAVPF"
        tail = [f"a=mid:{section.mid}", "a=rtcp-mux", *self.local(setup).lines()]
        if producer is None or section.mid not in wanted:
            return [
                f"{head} {codec.payload_type}",
                "c=IN IP4 0.0.0.0",
                *tail,
                "a=inactive",
                f"a=rtpmap:{codec.payload_type} {_encoding(codec)}",
            ]
        types = f"{codec.payload_type}"
        lines = [f"a=rtpmap:{codec.payload_type} {_encoding(codec)}"]
        if section.kind == "audio":
            lines.append(f"a=fmtp:{codec.payload_type} minptime=10;useinbandfec=1;usedtx=1")
        else:
            # Chrome starts at 300 kb/s and climbs for half a minute unless told where to begin.
            lines.append(f"a=fmtp:{codec.payload_type} x-google-start-bitrate=900")
            lines += [f"a=rtcp-fb:{codec.payload_type} {kind}" for kind in _FEEDBACK]
            if codec.rtx_payload_type is not None:
                types += f" {codec.rtx_payload_type}"
                lines.append(f"a=rtpmap:{codec.rtx_payload_type} rtx/{codec.clock_rate}")
                lines.append(f"a=fmtp:{codec.rtx_payload_type} apt={codec.payload_type}")
        if URI_MID in section.extensions:
            lines.append(f"a=extmap:{section.extensions[URI_MID]} {URI_MID}")
        return [
            f"{head} {types}",
            "c=IN IP4 0.0.0.0",
            f"b=AS:{_BITRATE_CAPS.get(producer.source, 1_000_000) // 1000}",
            *tail,
            "a=recvonly",
            "a=rtcp-rsize",
            *lines,
        ]

    def _asked_again(self, packets: int) -> None:
        self._wiring.mux.asked_again += packets

    def remove(self, mid: str) -> None:
        """Stop a producer: from now on its packets are a stranger's."""
        producer = self.producers.pop(mid)
        for table in (self._by_ssrc, self._rtx):
            for ssrc in [key for key, one in table.items() if one is producer]:
                del table[ssrc]
        producer.close()

    def on_rtp(self, data: bytes) -> None:
        ssrc = data[8:12]
        producer = self._by_ssrc.get(ssrc)
        rtx = producer is None and ssrc in self._rtx
        if rtx:
            producer = self._rtx[ssrc]
        elif producer is None and not (self._mid_extension and self._has_room()):
            return
        if not self.allowance.media(ssrc, len(data)):
            self._wiring.mux.dropped["peer_limit"] += 1
            return
        unprotector = self._wiring.unprotector
        size = unprotector.rtp(self._srtp_in, data)
        if not size:
            self.forged += 1
            if producer is None:
                self.allowance.forget(ssrc)
            return
        view = unprotector.view
        if producer is None:  # authentic, and of an SSRC the offer did not name
            self._bind_by_mid(bytes(view[:size]), ssrc)
            return
        _, second, sequence, timestamp, _ = HEADER.unpack_from(view)
        begin, end = payload_bounds(view, size)
        payload = bytes(view[begin:end])
        payload_type = second & 0x7F
        now = time.monotonic()
        if payload_type == producer.payload_type and not rtx:
            producer.on_rtp(payload, second & 0x80, sequence, timestamp, now)
        elif rtx and payload_type == producer.rtx_payload_type:
            producer.on_rtx(payload, second & 0x80, timestamp, now)

    def _bind_by_mid(self, packet: bytes, ssrc: bytes) -> None:
        """Learn from a first packet's MID whose stream it is; the next ones are forwarded."""
        mid = extensions(packet, len(packet)).get(self._mid_extension, b"").decode("ascii", "replace")
        producer = self.producers.get(mid)
        if producer is None:
            return
        payload_type = packet[1] & 0x7F
        if payload_type == producer.payload_type:
            self._name(int.from_bytes(ssrc, "big"), producer)
        elif payload_type == producer.rtx_payload_type:
            self._name_rtx(ssrc, producer)

    def on_report(self, report: rtcp.Report) -> None:
        if isinstance(report, rtcp.SenderReport):
            producer = self._by_ssrc.get(report.ssrc.to_bytes(4, "big"))
            if producer is not None:
                producer.on_sender_report(report, time.monotonic())

    def on_connected(self) -> None:
        for producer in self.producers.values():
            producer.request_keyframe()

    def tick(self, now: float) -> None:
        super().tick(now)
        if not self.connected:
            return
        blocks = [
            block
            for producer in self.producers.values()
            if (block := producer.reception_block(now)) is not None
        ]
        if blocks:
            packet = rtcp.receiver_report(1, blocks)
            video = [p for p in self.producers.values() if p.kind == "video" and p.ssrc is not None]
            if video:
                cap = sum(_BITRATE_CAPS.get(p.source, 1_000_000) for p in video)
                packet += rtcp.remb(1, cap, [p.ssrc for p in video if p.ssrc is not None])
            self.send_rtcp(packet)

    def tick_fast(self, now: float) -> None:
        for producer in self.producers.values():
            producer.tick(now)


def _usable(section: Section) -> Codec | None:
    """Return the codec we take of a section, None when it must be rejected."""
    wanted = _CODECS.get(section.kind)
    return section.codec(wanted) if wanted is not None and not section.rejected else None


def _encoding(codec: Codec) -> str:
    if codec.name == "opus":
        return f"opus/{codec.clock_rate}/2"
    return f"{codec.name.upper()}/{codec.clock_rate}"
