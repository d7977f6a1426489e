"""The stage as it is offered to a viewer, and what their answer says they can do."""

from collections.abc import Sequence

from media.formats import H264, OPUS, VP8
from media.red import PAYLOAD_TYPE as RED
from media.rtp import SEND_TIME, TRANSPORT_SEQUENCE, URI_SEND_TIME, URI_TRANSPORT_SEQUENCE
from media.sdp import Description
from media.slot import Place

FEEDBACK = ("nack", "nack pli", "ccm fir")


def estimates(client: Description) -> bool:
    """Say whether a client tells what its link carries."""
    return any("goog-remb" in one.feedback for one in client.pictures)


def counts_in(client: Description) -> int | None:
    """Return the extension in which a client takes transport-wide numbers of all its pictures, if it does."""
    found = {one.extensions.get(URI_TRANSPORT_SEQUENCE) for one in client.pictures}
    tells = all("transport-cc" in one.feedback for one in client.pictures)
    return found.pop() if tells and len(found) == 1 else None


def section(place: Place, local: Sequence[str]) -> list[str]:
    """Return the lines of one place, with those of our side of the connection."""
    rtx = [one for one in (VP8, H264) if place.kind == "video"]
    types = " ".join(f"{one.payload_type} {one.rtx_payload_type}" for one in rtx)
    lines = [
        f"m={place.kind} 9 UDP/TLS/RTP/SAVPF {types or f'{OPUS.payload_type} {RED}'}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{place.mid}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=sendonly",
        *local,
        f"a=msid:{place.stream} {place.stream}-{place.source}",
    ]
    if place.kind == "audio":
        opus = OPUS.payload_type
        return [
            *lines,
            f"a=rtpmap:{opus} {OPUS.encoding}",
            f"a=fmtp:{opus} {OPUS.parameters}",
            f"a=rtpmap:{RED} red/48000/2",
            f"a=fmtp:{RED} {opus}/{opus}",
            f"a=ssrc:{place.ssrc} cname:{place.stream}",
        ]
    for one in rtx:
        lines.append(f"a=rtpmap:{one.payload_type} {one.encoding}")
        if one.parameters:
            lines.append(f"a=fmtp:{one.payload_type} {one.parameters}")
        lines += [f"a=rtcp-fb:{one.payload_type} {kind}" for kind in (*FEEDBACK, "goog-remb", "transport-cc")]
        lines.append(f"a=rtpmap:{one.rtx_payload_type} rtx/{one.clock}")
        lines.append(f"a=fmtp:{one.rtx_payload_type} apt={one.payload_type}")
    return [
        *lines,
        f"a=extmap:{SEND_TIME} {URI_SEND_TIME}",
        f"a=extmap:{TRANSPORT_SEQUENCE} {URI_TRANSPORT_SEQUENCE}",
        f"a=ssrc-group:FID {place.ssrc} {place.rtx_ssrc}",
        f"a=ssrc:{place.ssrc} cname:{place.stream}",
        f"a=ssrc:{place.rtx_ssrc} cname:{place.stream}",
    ]
