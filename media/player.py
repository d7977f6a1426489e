"""The connection of a program that plays a class (WHEP): it offers to receive, we answer with what it takes.

A page is offered the whole stage; a player takes a picture and the teacher's voice, under its own payload
types.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from media.formats import FORMATS, H264, OPUS, RTX_OF, VP8
from media.offer import FEEDBACK, counts_in, estimates
from media.programme import Picture
from media.rtp import SEND_TIME, URI_SEND_TIME, URI_TRANSPORT_SEQUENCE
from media.sdp import Codec, Description, SdpError, Section, rejected, write
from media.slot import Place, Slot
from media.subscribing import SubscribeTransport
from media.transport import Transport, Wiring

UNTAKEN = 0xFF  # in a table of payload types
_TWO_BYTES = 15  # ids from which on an extension does not fit a head of one byte


class PlayerTransport(SubscribeTransport):
    """Is sent the slots of `wanted`, each to the first section of its kind that is left."""

    def __init__(
        self,
        wiring: Wiring,
        on_state: Callable[[Transport, str], None],
        viewer: str,
        wanted: Sequence[Slot],
        *,
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(
            wiring,
            on_state,
            viewer,
            wanted,
            on_ready=on_ready,
            on_quality=lambda _told: None,
        )
        self._wanted = list(wanted)
        self._tables: dict[str, bytes] = {}

    def take(self, offer: Description) -> str:
        """Return the answer. Raises SdpError when there is nothing the player can be sent."""
        left = list(self._wanted)
        places: dict[str, tuple[Place, Sequence[Codec]]] = {}
        tables: dict[str, bytes] = {}
        for section in offer.sections:
            slot = next((one for one in left if one.place.kind == section.kind), None)
            codecs = _taken(section)
            if slot is None or not codecs or section.rejected or section.direction == "sendonly":
                continue
            left.remove(slot)
            places[section.mid] = slot.place, codecs
            tables[slot.place.mid] = _table(section.kind, codecs)
        if not places:
            raise SdpError("nothing of the class can be taken: receive Opus, and VP8 or H.264")
        self._tables = {place.mid: tables[place.mid] for place, _ in places.values()}
        self.translate(self._tables)
        setup = "active" if offer.setup == "passive" else "passive"
        self.begin(offer)
        self._takes_red = False  # our answer does not name it
        counts = _counts(offer)
        if counts is not None:
            self.count_packets(counts)
        local = self.local(setup).lines()
        sections = [
            (one.mid if one.mid in places else None, _lines(one, places.get(one.mid), local, counts))
            for one in offer.sections
        ]
        return write(self.id, 1, sections)

    def _reads(self, picture: Picture) -> bool:
        return self._tables[picture.slot.place.mid][picture.payload_format.payload_type] != UNTAKEN

    def show(self, sizes: Mapping[str, int], limit: int | None = None, pinned: str | None = None) -> None:
        """A player says nothing of how large it shows what it plays."""


def _counts(offer: Description) -> int | None:
    """Return the extension to count packets in: for who tells when they arrived, and no estimate."""
    if estimates(offer):
        return None
    number = counts_in(offer)
    return number if number is not None and number < _TWO_BYTES and number != SEND_TIME else None


def _taken(section: Section) -> list[Codec]:
    """Return which of the section's codecs we can send, in our order."""
    found = []
    for one in FORMATS.get(section.kind, ()):
        for codec in section.codecs:
            fits = one is not H264 or "packetization-mode=1" in codec.parameters
            if codec.name == one.name and fits:
                found.append(codec)
                break
    return found


def _table(kind: str, codecs: Sequence[Codec]) -> bytes:
    """Return the player's payload type for each of ours."""
    table = bytearray([UNTAKEN]) * 128
    for one in FORMATS[kind]:
        codec = next((codec for codec in codecs if codec.name == one.name), None)
        if codec is None:
            continue
        table[one.payload_type] = codec.payload_type
        rtx = RTX_OF.get(one.payload_type)
        if rtx is not None and codec.rtx_payload_type is not None:
            table[rtx] = codec.rtx_payload_type
    return bytes(table)


def _lines(
    section: Section,
    taken: tuple[Place, Sequence[Codec]] | None,
    local: Sequence[str],
    counts: int | None,
) -> list[str]:
    if taken is None:
        return rejected(section)
    place, codecs = taken
    types = [str(one) for codec in codecs for one in (codec.payload_type, codec.rtx_payload_type) if one]
    lines = [
        f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(types)}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{section.mid}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=sendonly",
        *local,
        f"a=msid:{place.stream} {place.stream}-{place.source}",
    ]
    for codec in codecs:
        ours: Any = next(one for one in (OPUS, VP8, H264) if one.name == codec.name)
        lines.append(f"a=rtpmap:{codec.payload_type} {ours.encoding}")
        if codec.parameters:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.parameters}")
        if section.kind == "video":
            estimate = "goog-remb" if counts is None else "transport-cc"
            lines += [f"a=rtcp-fb:{codec.payload_type} {kind}" for kind in (*FEEDBACK, estimate)]
        if codec.rtx_payload_type is not None:
            lines.append(f"a=rtpmap:{codec.rtx_payload_type} rtx/{ours.clock}")
            lines.append(f"a=fmtp:{codec.rtx_payload_type} apt={codec.payload_type}")
    if section.kind == "video" and section.extensions.get(URI_SEND_TIME) == SEND_TIME:
        lines.append(f"a=extmap:{SEND_TIME} {URI_SEND_TIME}")
    if counts is not None and section.extensions.get(URI_TRANSPORT_SEQUENCE) == counts:
        lines.append(f"a=extmap:{counts} {URI_TRANSPORT_SEQUENCE}")
    # libwebrtc takes the stream named first for the picture itself.
    streams = [f"a=ssrc:{place.ssrc} cname:{place.stream}"]
    if any(codec.rtx_payload_type is not None for codec in codecs):
        lines.append(f"a=ssrc-group:FID {place.ssrc} {place.rtx_ssrc}")
        streams.append(f"a=ssrc:{place.rtx_ssrc} cname:{place.stream}")
    return lines + streams
