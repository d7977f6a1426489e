"""Session descriptions (RFC 8866, JSEP RFC 9429) as far as an SFU needs them: parse and write, pure.

A stranger's text: 32 KiB, 32 media sections, 200 lines each; anything else is an SdpError with a
sentence. The clients' candidates are read over: an ICE-lite agent dials nobody.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_LONGEST = 32 * 1024
_MOST_SECTIONS, _MOST_LINES, _MOST_FINGERPRINTS, _MOST_CODECS = 32, 200, 8, 64
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")
_MOST_RIDS = 8
_RID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/=_-]{4,256}")
_FINGERPRINT = re.compile(r"(sha-\d{1,3}) ((?:[0-9A-Fa-f]{2}:){15,63}[0-9A-Fa-f]{2})")
_HASHES = {"sha-256", "sha-384", "sha-512"}


class SdpError(ValueError):
    """A description we cannot use; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Codec:
    payload_type: int
    name: str  # lower case
    clock_rate: int
    rtx_payload_type: int | None = None
    parameters: str = ""  # as a=fmtp has them


@dataclass(frozen=True, slots=True)
class Fingerprint:
    algorithm: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One m= section."""

    kind: str
    mid: str
    direction: str
    rejected: bool
    codecs: Sequence[Codec]
    extensions: dict[str, int]  # uri -> id
    ssrcs: Sequence[int]
    rtx_of: dict[int, int]  # media ssrc -> rtx ssrc
    protocol: str
    payload_types: str
    feedback: frozenset[str] = frozenset()  # what of RTCP it names for any codec (RFC 4585)
    rids: Sequence[str] = ()  # the qualities it is sent in (RFC 8853), in the sender's order

    def codec(self, name: str) -> Codec | None:
        return next((codec for codec in self.codecs if codec.name == name), None)

    @property
    def sends(self) -> bool:
        return not self.rejected and self.direction in {"sendonly", "sendrecv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    ufrag: str
    setup: str
    fingerprints: Sequence[Fingerprint]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Section]:
        """Return the sections of pictures that are not refused."""
        return [one for one in self.sections if one.kind == "video" and not one.rejected]


@dataclass(slots=True)
class _Raw:
    """The lines of one part of the text, by attribute."""

    media: str = ""
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def all(self, name: str) -> list[str]:
        return self.attributes.get(name, [])

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None


def parse(text: str) -> Description:
    """Read an offer or an answer. Raises SdpError."""
    if len(text) > _LONGEST:
        raise SdpError("the description is longer than 32 KiB")
    session, media = _split(text)
    sections = tuple(_section(raw) for raw in media)
    if not sections:
        raise SdpError("there is no media section")
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids):
        raise SdpError("two media sections have the same mid")
    # With BUNDLE the first section that is not rejected carries the transport.
    carrier = next(
        (raw for raw, section in zip(media, sections, strict=True) if not section.rejected),
        media[0],
    )
    return Description(
        ufrag=_ice(carrier.first("ice-ufrag") or session.first("ice-ufrag"), "ice-ufrag"),
        setup=carrier.first("setup") or session.first("setup") or "actpass",
        fingerprints=_fingerprints(carrier.all("fingerprint") or session.all("fingerprint")),
        sections=sections,
    )


def _split(text: str) -> tuple[_Raw, list[_Raw]]:
    session = _Raw()
    media: list[_Raw] = []
    current, lines = session, 0
    for line in text.splitlines():
        lines += 1
        if lines > _MOST_LINES:
            raise SdpError("a section has more than 200 lines")
        if len(line) < 2 or line[1] != "=":
            if line.strip():
                raise SdpError("a line is not of the form x=value")
            continue
        if line[0] == "m":
            if len(media) == _MOST_SECTIONS:
                raise SdpError("there are more than 32 media sections")
            current, lines = _Raw(media=line[2:]), 0
            media.append(current)
        elif line[0] == "a":
            name, _, value = line[2:].partition(":")
            current.attributes.setdefault(name, []).append(value)
    return session, media


def _section(raw: _Raw) -> Section:
    parts = raw.media.split()
    if len(parts) < 4 or not parts[1].split("/")[0].isdigit():
        raise SdpError("a media line is cut off")
    mid = raw.first("mid")
    if mid is None or not _TOKEN.fullmatch(mid):
        raise SdpError("a media section has no usable mid")
    if len(parts) - 3 > _MOST_CODECS:
        raise SdpError("a media section offers more than 64 codecs")
    directions = [d for d in ("sendrecv", "sendonly", "recvonly", "inactive") if d in raw.attributes]
    return Section(
        kind=parts[0],
        mid=mid,
        direction=directions[0] if directions else "sendrecv",
        rejected=parts[1].split("/")[0] == "0" and "bundle-only" not in raw.attributes,
        codecs=_codecs(raw, parts[3:]),
        extensions=_extensions(raw),
        ssrcs=_ssrcs(raw),
        rtx_of=_rtx_groups(raw),
        protocol=parts[2],
        payload_types=" ".join(parts[3:]),
        feedback=frozenset(value.partition(" ")[2].strip() for value in raw.all("rtcp-fb")),
        rids=_rids(raw),
    )


def _codecs(raw: _Raw, order: Sequence[str]) -> list[Codec]:
    maps: dict[str, tuple[str, int]] = {}
    for value in raw.all("rtpmap"):
        payload_type, _, encoding = value.partition(" ")
        name, _, rest = encoding.strip().partition("/")
        maps[payload_type] = (name.lower(), _number(rest.partition("/")[0], "a clock rate"))
    rtx: dict[int, int] = {}
    parameters_of: dict[str, str] = {}
    for value in raw.all("fmtp"):
        payload_type, _, parameters = value.partition(" ")
        parameters_of[payload_type] = parameters
        found = re.search(r"(?:^|;)\s*apt=(\d{1,3})\b", parameters)
        if found and maps.get(payload_type, ("", 0))[0] == "rtx":
            rtx[int(found[1])] = _payload_type(payload_type)
    codecs = []
    for text in order:
        if text in maps and maps[text][0] != "rtx":
            number = _payload_type(text)
            codecs.append(Codec(number, *maps[text], rtx.get(number), parameters_of.get(text, "")))
    return codecs


def _extensions(raw: _Raw) -> dict[str, int]:
    found = {}
    for value in raw.all("extmap"):
        head, _, rest = value.partition(" ")
        number = _number(head.partition("/")[0], "an extension id")
        words = rest.split()
        if 1 <= number <= 255 and words:
            found[words[0]] = number
    return found


def _ssrcs(raw: _Raw) -> list[int]:
    found = [_ssrc(value.partition(" ")[0]) for value in raw.all("ssrc")]
    return list(dict.fromkeys(found))


def _rtx_groups(raw: _Raw) -> dict[int, int]:
    groups = {}
    for value in raw.all("ssrc-group"):
        words = value.split()
        if len(words) == 3 and words[0] == "FID":
            groups[_ssrc(words[1])] = _ssrc(words[2])
    return groups


def _rids(raw: _Raw) -> list[str]:
    """Return the first alternative of each quality that `a=simulcast:send` names and an `a=rid` explains."""
    sent = {words[0] for value in raw.all("rid") if (words := value.split())[1:2] == ["send"]}
    words = (raw.first("simulcast") or "").split()
    listed = words[words.index("send") + 1] if "send" in words[:-1] else ""
    found = [one.partition(",")[0].removeprefix("~") for one in listed.split(";") if one]
    if len(found) > _MOST_RIDS or len(set(found)) != len(found):
        raise SdpError("a section names more than 8 qualities, or one twice")
    return [rid for rid in found if rid in sent and _RID.fullmatch(rid)]


def _fingerprints(values: Sequence[str]) -> list[Fingerprint]:
    if len(values) > _MOST_FINGERPRINTS:
        raise SdpError("there are more than 8 fingerprints")
    found = []
    for value in values:
        match = _FINGERPRINT.fullmatch(value.strip())
        if match and match[1].lower() in _HASHES:
            found.append(Fingerprint(match[1].lower(), match[2].upper()))
    if not found:
        raise SdpError("there is no fingerprint of sha-256 or better")
    return found


def _ice(value: str | None, name: str) -> str:
    if value is None or not _ICE_CHARS.fullmatch(value):
        raise SdpError(f"there is no usable {name}")
    return value


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise SdpError(f"{what} is not a number")
    return int(text)


def _ssrc(text: str) -> int:
    number = _number(text, "an SSRC")
    if number > 0xFFFFFFFF:
        raise SdpError("an SSRC is above 32 bits")
    return number


def _payload_type(text: str) -> int:
    number = _number(text, "a payload type")
    if number > 127:
        raise SdpError("a payload type is above 127")
    return number


# Writing


def rejected(section: Section) -> list[str]:
    """Return the lines of a section of an offer that is not taken."""
    return [
        f"m={section.kind} 0 {section.protocol} {section.payload_types}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{section.mid}",
        "a=inactive",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTransport:
    """What every section says of our side of the transport."""

    ufrag: str
    password: str
    fingerprint: Fingerprint
    setup: str
    candidates: Sequence[str]

    def lines(self) -> list[str]:
        return [
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:{self.fingerprint.algorithm} {self.fingerprint.value}",
            f"a=setup:{self.setup}",
            *(f"a=candidate:{candidate}" for candidate in self.candidates),
            "a=end-of-candidates",
        ]


def candidates(addresses: Sequence[str], udp_port: int, tcp_port: int) -> list[str]:
    """Return host candidates (RFC 8839; TCP passive, RFC 6544), UDP before TCP."""
    lines = []
    for n, address in enumerate(addresses):
        udp = 126 << 24 | (65535 - n) << 8 | 255
        lines.append(f"{n + 1} 1 udp {udp} {address} {udp_port} typ host")
    for n, address in enumerate(addresses):
        tcp = 90 << 24 | (4 << 13 | 8191 - n) << 8 | 255
        lines.append(f"{len(addresses) + n + 1} 1 tcp {tcp} {address} {tcp_port} typ host tcptype passive")
    return lines


def write(session_id: int, version: int, sections: Sequence[tuple[str | None, Sequence[str]]]) -> str:
    """Return a description of sections, each given as (mid, lines); a rejected one has None for mid
    and stays out of the bundle (RFC 8843, section 7.3).
    """
    mids = " ".join(mid for mid, _ in sections if mid is not None)
    lines = [
        "v=0",
        f"o=- {session_id} {version} IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        f"a=group:BUNDLE {mids}",
        "a=msid-semantic:WMS *",
    ]
    for _, section in sections:
        lines += section
    return "\r\n".join(lines) + "\r\n"
