"""The connection a participant sends on: the client offers, we answer what it may send."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from media import rtcp
from media.arrivals import Arrivals
from media.formats import FORMATS, H264, H264_PROFILE, OPUS, Format
from media.layer import Layer
from media.producer import Producer, Stand
from media.rtp import (
    HEADER,
    URI_AUDIO_LEVEL,
    URI_MID,
    URI_REPAIRED_RID,
    URI_RID,
    URI_TRANSPORT_SEQUENCE,
    element,
    elements,
    parts,
)
from media.sdp import Codec, Description, Section, rejected, write
from media.timeline import SenderClock
from media.transport import Transport, Wiring
from media.uplink import Uplink

_MOST_SSRCS = 16
_KINDS = {"camera": "video", "screen": "video", "microphone": "audio"}
_BITRATE_CAPS = {"camera": 2_200_000, "screen": 2_800_000, "microphone": 128_000}
_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
_TAKEN = (URI_MID, URI_RID, URI_REPAIRED_RID, URI_AUDIO_LEVEL, URI_TRANSPORT_SEQUENCE)
_SILENT_OCTETS = 10  # Opus takes fewer for silence
_FEEDBACK_INTERVAL = 0.1

Claim = Callable[[str], Stand]  # where a source is to stand; raises what refuses it


class PublishRefused(Exception):
    """A section may not be sent; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken of an offered section: one of our formats, under the client's payload types."""

    payload_format: Format
    codec: Codec

    def is_of(self, producer: Producer) -> bool:
        """Say whether a producer forwards this already."""
        same = producer.payload_format is self.payload_format
        return same and producer.layers[0].payload_type == self.codec.payload_type

    def parameters(self) -> list[str]:
        """Return what the answer says of it; of H.264 the profile that was offered, which is an agreement."""
        if self.payload_format is not H264:
            return []
        said = re.search(r"profile-level-id=[0-9A-Fa-f]{6}", self.codec.parameters)
        profile = said[0] if said else f"profile-level-id={H264_PROFILE}"
        return ["level-asymmetry-allowed=1", "packetization-mode=1", profile]


class PublishTransport(Transport):
    """Carries producers. A packet that belongs to none is dropped before it is decrypted."""

    def __init__(
        self,
        wiring: Wiring,
        on_state: Callable[[Transport, str], None],
        owner: str,
        *,
        staff: bool,
        clock: SenderClock,
    ) -> None:
        super().__init__(wiring, on_state)
        self._owner = owner
        self._staff = staff
        self.producers: dict[str, Producer] = {}  # by mid
        self._by_ssrc: dict[bytes, Layer] = {}
        self._rtx: dict[bytes, Layer] = {}
        self._owners: dict[Layer, Producer] = {}
        self._names: dict[bytes, tuple[str, str]] = {}  # MID and RID of an SSRC, which are said at first only
        self._extensions: dict[str, int] = {}  # of the whole bundle: uri -> id
        self.superseded: set[str] = set()  # sections whose source another connection of the person took over
        self._clock = clock
        self._arrivals = Arrivals()
        self._uplink = Uplink()
        self._octets = 0  # in this second
        self._ticked_at = time.monotonic()
        self._feedback_at = 0.0
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
        wanted, refused = self._wanted(offer, sources)
        for mid, producer in list(self.producers.items()):
            if mid not in wanted or producer.source != sources[mid] or not wanted[mid][1].is_of(producer):
                self.remove(mid)
        for mid, (section, taken) in wanted.items():
            if mid not in self.producers:
                try:
                    stand = claim(sources[mid])
                except PublishRefused as refusal:
                    refused[mid] = refusal.code
                    continue
                self._add(section, taken, sources[mid], stand)
            self._bind(section, self.producers[mid])
        sections = [
            (one.mid if _taken(one) else None, self._lines(one, wanted, setup)) for one in offer.sections
        ]
        return write(self.id, self._version, sections), refused

    def _wanted(
        self, offer: Description, sources: Mapping[str, str]
    ) -> tuple[dict[str, tuple[Section, Taken]], dict[str, str]]:
        """Return what of an offer is to be taken, and what is refused of it, by mid."""
        refused: dict[str, str] = {}
        wanted: dict[str, tuple[Section, Taken]] = {}
        for section in offer.sections:
            taken = _taken(section)
            source = sources.get(section.mid)
            if not section.sends or taken is None or source is None:
                self.superseded.discard(section.mid)  # once it has stopped, it may begin anew
                continue
            if section.mid in self.superseded:
                continue
            twice = source in {sources[mid] for mid in wanted}
            if twice or _KINDS.get(source) != section.kind:
                refused[section.mid] = "invalid"
            else:
                wanted[section.mid] = section, taken
        return wanted, refused

    def _add(self, section: Section, taken: Taken, source: str, stand: Stand) -> None:
        producer = Producer(
            mid=section.mid,
            owner=self._owner,
            stays=self._staff,
            source=source,
            payload_format=taken.payload_format,
            payload_type=taken.codec.payload_type,
            rtx_payload_type=taken.codec.rtx_payload_type,
            red_payload_type=_red(section, taken.codec),
            rids=_rids(section),
            clock=self._clock,
            stand=stand,
            send_rtcp=self.send_rtcp,
            on_asked=self._asked_again,
        )
        self.producers[section.mid] = producer
        self._owners |= dict.fromkeys(producer.layers, producer)
        stand.take(producer)

    def _bind(self, section: Section, producer: Producer) -> None:
        """Learn the SSRCs the offer names; streams it does not name are bound by their MID and RID."""
        for uri in _TAKEN:
            if uri in section.extensions:
                self._extensions[uri] = section.extensions[uri]
        if len(producer.layers) > 1:
            return  # which SSRC is which quality only the packets say
        (layer,) = producer.layers
        for media, rtx in section.rtx_of.items():
            self._name(media, layer)
            self._name_rtx(rtx.to_bytes(4, "big"), layer)
        if not section.rtx_of and len(section.ssrcs) == 1:
            self._name(section.ssrcs[0], layer)

    def _name(self, ssrc: int, layer: Layer) -> None:
        key = ssrc.to_bytes(4, "big")
        if not self._may_name(key):
            return
        if layer.ssrc is not None:  # the client began a new stream on the same section
            self._unname(layer.ssrc.to_bytes(4, "big"), self._by_ssrc)
            layer.restart()
        self._by_ssrc[key] = layer
        self._wiring.mux.expect(key, self)
        layer.ssrc = ssrc

    def _name_rtx(self, ssrc: bytes, layer: Layer) -> None:
        if self._may_name(ssrc):
            self._rtx[ssrc] = layer
            self._wiring.mux.expect(ssrc, self)

    def _may_name(self, ssrc: bytes) -> bool:
        """One SSRC is one stream's, and of one kind."""
        return self._has_room() and ssrc not in self._by_ssrc and ssrc not in self._rtx

    def _unname(self, ssrc: bytes, table: dict[bytes, Layer]) -> None:
        if table.pop(ssrc, None) is not None:
            self._wiring.mux.expect_no_more(ssrc, self)

    def _has_room(self) -> bool:
        """Libsrtp keeps a context per SSRC: a peer may name a few."""
        return len(self._by_ssrc) + len(self._rtx) < _MOST_SSRCS

    def _lines(self, section: Section, wanted: Mapping[str, tuple[Section, Taken]], setup: str) -> list[str]:
        taken = _taken(section)
        if taken is None:
            return rejected(section)
        codec, encoding = taken.codec, taken.payload_format.encoding
        producer = self.producers.get(section.mid)
        head = f"m={section.kind} 9 UDP/TLS/RTP/SAVPF"
        extmaps = [f"a=extmap:{section.extensions[uri]} {uri}" for uri in _TAKEN if uri in section.extensions]
        tail = [f"a=mid:{section.mid}", "a=rtcp-mux", *self.local(setup).lines()]
        if producer is None or section.mid not in wanted:
            return [
                f"{head} {codec.payload_type}",
                "c=IN IP4 0.0.0.0",
                *tail,
                "a=inactive",
                f"a=rtpmap:{codec.payload_type} {encoding}",
                *extmaps,  # or Chrome could not send it in several qualities later
            ]
        types = f"{codec.payload_type}"
        lines = [f"a=rtpmap:{codec.payload_type} {encoding}"]
        if section.kind == "audio":
            lines.append(f"a=fmtp:{codec.payload_type} minptime=10;useinbandfec=1;usedtx=1")
            red = _red(section, codec)
            if red is not None:  # named first: it is what is sent
                types = f"{red} {types}"
                lines += [
                    f"a=rtpmap:{red} red/48000/2",
                    f"a=fmtp:{red} {codec.payload_type}/{codec.payload_type}",
                ]
        else:
            # Chrome starts at 300 kb/s and climbs for half a minute unless told where to begin.
            parameters = [*taken.parameters(), "x-google-start-bitrate=900"]
            lines.append(f"a=fmtp:{codec.payload_type} {';'.join(parameters)}")
            lines += [f"a=rtcp-fb:{codec.payload_type} {kind}" for kind in _FEEDBACK]
            if codec.rtx_payload_type is not None:
                types += f" {codec.rtx_payload_type}"
                lines.append(f"a=rtpmap:{codec.rtx_payload_type} rtx/{codec.clock_rate}")
                lines.append(f"a=fmtp:{codec.rtx_payload_type} apt={codec.payload_type}")
        lines += extmaps
        rids = [layer.rid for layer in producer.layers if layer.rid]
        if rids:
            lines += [f"a=rid:{rid} recv" for rid in rids]
            lines.append(f"a=simulcast:recv {';'.join(rids)}")
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
            for ssrc in [key for key, one in table.items() if one in producer.layers]:
                self._unname(ssrc, table)
        for layer in producer.layers:
            del self._owners[layer]
        producer.close()

    def on_rtp(self, data: bytes) -> bool:
        if not self.producers:
            return False
        ssrc = data[8:12]
        layer = self._by_ssrc.get(ssrc) or self._rtx.get(ssrc)
        if layer is None and not (URI_MID in self._extensions and self._has_room()):
            return False
        if not self.allowance.media(ssrc, len(data)):
            self._wiring.mux.dropped["peer_limit"] += 1
            return False
        unprotector = self._wiring.unprotector
        size = unprotector.rtp(self._srtp_in, data)
        if not size:
            self.forged += 1
            self.allowance.take_back()
            return False
        self._octets += len(data)
        self._sort(unprotector.view, size, ssrc, layer)
        return True

    def _sort(self, view: memoryview, size: int, ssrc: bytes, layer: Layer | None) -> None:
        """Give a decrypted packet to its layer."""
        now = time.monotonic()
        extension, payload = parts(view, size)
        if layer is None:  # authentic, and of an SSRC the offer did not name
            layer = self._bind_by_name(elements(extension), view[1] & 0x7F, ssrc)
            if layer is None:
                return
        ids = self._extensions
        if URI_TRANSPORT_SEQUENCE in ids:
            counted = element(extension, ids[URI_TRANSPORT_SEQUENCE])
            if len(counted) == 2:
                self._arrivals.note(counted[0] << 8 | counted[1], now)
        _, second, sequence, timestamp, _ = HEADER.unpack_from(view)
        payload_type, marker = second & 0x7F, second & 0x80
        if ssrc in self._rtx:
            if payload_type == layer.rtx_payload_type:
                layer.on_rtx(payload, marker, timestamp, now)
            return
        red = payload_type == layer.red_payload_type
        if not red and payload_type != layer.payload_type:
            return
        if layer.payload_format is OPUS:
            self._hear(self._owners[layer], extension, payload, now)
        layer.on_rtp(payload, marker, sequence, timestamp, now, red=red)

    def _hear(self, producer: Producer, extension: bytes, payload: bytes, now: float) -> None:
        """Tell a producer of sound how loud it is."""
        if URI_AUDIO_LEVEL in self._extensions:
            level = element(extension, self._extensions[URI_AUDIO_LEVEL])
            if level:
                producer.hear(level[0] & 0x7F, now)
        elif len(payload) > _SILENT_OCTETS:
            producer.presume_speech(now)

    def _bind_by_name(self, found: Mapping[int, bytes], payload_type: int, ssrc: bytes) -> Layer | None:
        """Learn from a packet's MID and RID whose stream it is, and which quality of it."""

        def said(uri: str) -> str:
            return found.get(self._extensions.get(uri, 0), b"").decode("ascii", "replace")

        mid, rid = said(URI_MID), said(URI_RID) or said(URI_REPAIRED_RID)
        if not mid:
            mid, rid = self._names.get(ssrc, ("", ""))
        producer = self.producers.get(mid)
        if producer is None:
            return None
        layer = producer.layer_of(rid) if len(producer.layers) > 1 else producer.layers[0]
        if layer is not None and payload_type in {layer.payload_type, layer.red_payload_type}:
            self._name(int.from_bytes(ssrc, "big"), layer)
        elif layer is not None and payload_type == layer.rtx_payload_type:
            self._name_rtx(ssrc, layer)
        if ssrc not in self._by_ssrc and ssrc not in self._rtx:
            return None
        self._names[ssrc] = mid, rid
        return layer

    def on_report(self, report: rtcp.Report) -> None:
        if isinstance(report, rtcp.SenderReport):
            layer = self._by_ssrc.get(report.ssrc.to_bytes(4, "big"))
            if layer is not None:
                now = time.monotonic()
                layer.on_sender_report(report, now)
                self._uplink.on_report(report.ntp, now)

    def on_moved(self) -> None:
        self._uplink = Uplink()

    def on_connected(self) -> None:
        for layer in self._owners:
            layer.request_keyframe()

    def tick(self, now: float) -> None:
        super().tick(now)
        if not self.connected:
            return
        for producer in self.producers.values():
            producer.measure(now)
        self._uplink.tick(8 * self._octets / max(0.1, now - self._ticked_at))
        self._octets, self._ticked_at = 0, now
        blocks = [block for layer in self._owners if (block := layer.reception_block(now)) is not None]
        if blocks:
            packet = rtcp.receiver_report(1, blocks)
            video = [p for p in self.producers.values() if p.payload_format is not OPUS]
            ssrcs = [layer.ssrc for p in video for layer in p.layers if layer.ssrc is not None]
            if ssrcs:
                cap = sum(_BITRATE_CAPS.get(p.source, 1_000_000) for p in video)
                packet += rtcp.remb(1, min(cap, round(self._uplink.cap or cap)), ssrcs)
            self.send_rtcp(packet)

    def compare(self, now: float) -> bool:
        """Say whether other qualities can be had of something than before; call ten times a second or so."""
        changed = [producer.compare(now) for producer in self.producers.values()]
        return any(changed)

    def tick_fast(self, now: float) -> None:
        for producer in self.producers.values():
            producer.tick(now)
        if now - self._feedback_at >= _FEEDBACK_INTERVAL:
            self._feedback_at = now
            ssrc = next((layer.ssrc for layer in self._owners if layer.ssrc is not None), None)
            if ssrc is not None:
                for packet in self._arrivals.feedback(ssrc):
                    self.send_rtcp(packet)


def can_be_taken(section: Section) -> bool:
    """Say whether we could forward what a section sends."""
    return section.sends and _taken(section) is not None


def _taken(section: Section) -> Taken | None:
    """Return what we take of a section, None when it must be rejected."""
    if section.rejected:
        return None
    for payload_format in FORMATS.get(section.kind, ()):
        codecs = [one for one in section.codecs if one.name == payload_format.name]
        if payload_format is H264:
            codecs = sorted(filter(_in_fragments, codecs), key=_by_profile)
        if codecs:
            return Taken(payload_format, codecs[0])
    return None


def _in_fragments(codec: Codec) -> bool:
    """Say whether H.264 comes in packets of any size; without, a frame had to fit into one."""
    return "packetization-mode=1" in codec.parameters


def _by_profile(codec: Codec) -> bool:
    return H264_PROFILE not in codec.parameters.lower()


def _red(section: Section, codec: Codec) -> int | None:
    """Return the payload type of sound with older frames, whose headers name the type we tell viewers."""
    red = section.codec("red")
    fits = section.kind == "audio" and codec.payload_type == OPUS.payload_type
    return red.payload_type if fits and red is not None and red.clock_rate == codec.clock_rate else None


def _rids(section: Section) -> Sequence[str]:
    """Return the qualities we take of a section: more than one, and only if packets say which they are."""
    named = URI_MID in section.extensions and URI_RID in section.extensions
    return section.rids if named and section.kind == "video" and len(section.rids) > 1 else ()
