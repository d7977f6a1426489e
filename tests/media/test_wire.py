"""Wire formats and pure rules: vectors, tables, and whatever hypothesis can think of."""

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from aioice import stun
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRrPacket, RtcpRtpfbPacket, RtcpSrPacket
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Session

from media import h264, rtcp, rtp, sdp, vp8
from media.burst import runs
from media.draft import Draft, Layout
from media.formats import OPUS
from media.ice import IceLite, local_ufrag_of
from media.nack import MOST_MISSING, MissingPackets


@given(st.binary(max_size=300))
def test_no_bytes_make_the_rtcp_parser_raise_anything_else(data: bytes) -> None:
    try:
        rtcp.parse(data)
    except rtcp.RtcpError:
        return


_ELEMENTS = st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)), max_size=6)


def _extension(profile: bytes, elements: Sequence[tuple[int, bytes]], *, zeros: int = 0) -> bytes:
    """A header extension of elements, with so many zeros before each."""
    wide = profile == b"\x10\x00"
    block = b"".join(
        bytes(zeros) + (bytes((n, len(one))) if wide else bytes((n << 4 | len(one) - 1,))) + one
        for n, one in elements
    )
    block += bytes(-len(block) % 4)
    return profile + (len(block) // 4).to_bytes(2, "big") + block


@given(_ELEMENTS, st.sampled_from([b"\xbe\xde", b"\x10\x00"]), st.integers(0, 3), st.binary(max_size=20))
def test_a_packet_is_taken_apart_as_it_was_put_together(
    wanted: list[tuple[int, bytes]], profile: bytes, zeros: int, payload: bytes
) -> None:
    extension = _extension(profile, wanted, zeros=zeros)
    packet = bytes((0x90, 96)) + bytes(10) + extension + payload
    assert rtp.parts(packet, len(packet)) == (extension, payload)
    first = dict(reversed(wanted))
    assert rtp.elements(extension) == first
    for number in range(1, 15):
        assert rtp.element(extension, number) == first.get(number, b"")


@given(
    st.sampled_from([0x80, 0x90, 0x91, 0xA0, 0xB2]),
    st.sampled_from([b"\xbe\xde", b"\x10\x00", b"\x10\x05", b"\0\0"]),
    st.integers(0, 6),
    st.lists(st.sampled_from([0, 1, 0x10, 0x13, 0x21, 0xF0, 0xFF]), max_size=24).map(bytes),
)
def test_no_bytes_make_the_rtp_parser_raise_anything_else(
    first: int, profile: bytes, words: int, rest: bytes
) -> None:
    data = bytes((first, 96)) + bytes(10) + profile + words.to_bytes(2, "big") + rest
    try:
        extension, payload = rtp.parts(data, len(data))
        found = rtp.elements(extension)
    except rtp.RtpError:
        return
    assert extension + payload in data
    for number in range(256):
        assert rtp.element(extension, number) == found.get(number, b"")


@pytest.mark.parametrize(
    "block",
    [b"\x13\x01\x02\x03", b"\x00\x00\x00\x10"],
    ids=["an element that is cut off", "one of which nothing is left"],
)
def test_an_element_that_is_cut_off_is_refused(block: bytes) -> None:
    for profile in (b"\xbe\xde", b"\x10\x00"):
        with pytest.raises(rtp.RtpError):
            rtp.elements(profile + b"\x00\x01" + block)
        with pytest.raises(rtp.RtpError):
            rtp.element(profile + b"\x00\x01" + block, 9)


def test_nothing_is_read_behind_element_fifteen() -> None:
    extension = b"\xbe\xde\x00\x01" + b"\xf0\x00\x10a"
    assert rtp.element(extension, 1) == b""
    assert rtp.elements(extension) == {}


def test_an_extension_no_browser_sends_is_refused_before_it_is_walked() -> None:
    packet = bytes((0x90, 96)) + bytes(10) + b"\xbe\xde\x00\x41" + bytes(0x41 * 4)
    with pytest.raises(rtp.RtpError, match="too long"):
        rtp.parts(packet, len(packet))


@given(st.text(max_size=400))
def test_no_text_makes_the_sdp_parser_raise_anything_else(text: str) -> None:
    try:
        sdp.parse(text)
    except sdp.SdpError:
        return


_LINES = st.sampled_from(
    [
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
        "m=audio 0 UDP/TLS/RTP/SAVPF 111",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:0",
        "a=mid:1",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=ssrc:9999999999 cname:x",
        "a=ssrc:1 cname:x",
        "a=ssrc-group:FID 1 2",
        "a=extmap:1  ",
        "a=extmap:1/sendonly urn:x",
        "a=fingerprint:sha-256 " + ":".join(["AA"] * 32),
        "a=ice-ufrag:abcd",
        "a=sendonly",
        "a=rtpmap:x y",
        "a=setup:active",
    ]
)


@given(st.lists(_LINES, max_size=40))
def test_no_lines_make_the_sdp_parser_raise_anything_else(lines: list[str]) -> None:
    try:
        found = sdp.parse("v=0\r\n" + "\r\n".join(lines))
    except sdp.SdpError:
        return
    assert all(ssrc <= 0xFFFFFFFF for section in found.sections for ssrc in section.ssrcs)


@given(st.binary(max_size=40))
def test_no_payload_makes_the_vp8_reader_raise(payload: bytes) -> None:
    vp8.is_keyframe(payload)
    flow = vp8.Continuity()
    flow.restart(payload, payload)
    assert len(flow.rewrite(payload)) == len(payload)


# Sequence parameter sets as x264 writes them.
@pytest.mark.parametrize(
    ("parameter_set", "size"),
    [
        ("6742c01fd9005005ba10000003001000000303c8f1832480", (1280, 720)),
        ("67640028acb200f0044fcb08000003000800000301e478c19240", (1920, 1080)),
        ("674d401fd900d83de6e10000030001000003003c8f183248", (854, 480)),
        ("6742c01ed900a02ff9210000030001000003003c8f162e48", (640, 362)),
    ],
)
def test_an_h264_keyframe_is_known_by_its_parameter_set(parameter_set: str, size: tuple[int, int]) -> None:
    alone = bytes.fromhex(parameter_set)
    picture = b"\x68\xce\x3c\x80"
    together = b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in (alone, picture))
    for payload in (alone, together):
        assert h264.is_keyframe(payload)
        assert h264.frame_size(payload) == size
    for payload in (picture, b"\x65\x88\x84", b"\x7c\x85\x88", b"\x41\x9a", b"", b"\x78\x00\x09\x67"):
        assert not h264.is_keyframe(payload)
        assert h264.frame_size(payload) is None
    for end in range(1, len(alone) - 4):
        h264.frame_size(alone[:end])


@given(st.binary(max_size=80))
def test_no_payload_makes_the_h264_reader_raise(payload: bytes) -> None:
    for one in (payload, b"\x67" + payload, b"\x67\x64" + payload, b"\x78" + payload):
        h264.is_keyframe(one)
        size = h264.frame_size(one)
        assert size is None or all(0 < side <= 1 << 14 for side in size)


@given(st.binary(max_size=120))
def test_no_datagram_makes_the_stun_filter_raise(data: bytes) -> None:
    local_ufrag_of(data)
    assert IceLite("w").answer(data, ("x", 1), ("x", 1), 0.0) is None


def test_rtcp_we_write_is_read_by_another_implementation() -> None:
    block = rtcp.ReportBlock(7, 10, -3, 70_000, 5, 6, 8)
    (report,) = RtcpPacket.parse(rtcp.receiver_report(1, [block]))
    assert isinstance(report, RtcpRrPacket)
    assert report.reports[0].packets_lost == -3
    (sr,) = RtcpPacket.parse(rtcp.sender_report(1, 2 << 32, 3, 4, 5))
    assert isinstance(sr, RtcpSrPacket)
    assert sr.sender_info.ntp_timestamp == 2 << 32
    assert rtcp.report_request(1, 9) == bytes.fromhex("85cd0002 00000001 00000009"), "RFC 6051, section 3.2"
    (pli,) = RtcpPacket.parse(rtcp.picture_loss(1, 9))
    assert isinstance(pli, RtcpPsfbPacket)
    assert (pli.fmt, pli.media_ssrc) == (1, 9)
    (nack,) = RtcpPacket.parse(rtcp.nack(1, 9, [65534, 65535, 0, 30]))
    assert isinstance(nack, RtcpRtpfbPacket)
    assert [lost & 0xFFFF for lost in nack.lost] == [65534, 65535, 0, 30]


def test_rtcp_we_write_is_read_by_ourselves() -> None:
    assert rtcp.parse(rtcp.nack(1, 9, [65534, 0, 15, 100])) == [rtcp.Nack(9, (65534, 0, 15, 100))]
    (found,) = rtcp.parse(rtcp.remb(1, 1_700_000, [5]))
    assert isinstance(found, rtcp.Remb)
    assert abs(found.bitrate - 1_700_000) < 10


@given(st.lists(st.integers(0, MOST_MISSING), max_size=60), st.integers(0, 0xFFFF))
def test_missing_packets_are_those_that_did_not_come(offsets: list[int], first: int) -> None:
    tracker = MissingPackets()
    came: set[int] = set()
    highest = -1
    for offset in [0, *offsets]:
        sequence = (first + offset) & 0xFFFF
        fresh = tracker.received(sequence, 0.0)
        assert fresh == (offset not in came), "a packet counts once"
        came.add(offset)
        highest = max(highest, offset)
    asked = set(tracker.due(1.0))
    assert asked == {(first + n) & 0xFFFF for n in range(highest) if n not in came}


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(0, 0xFFFF))
def test_where_too_much_is_missing_nothing_is_asked_for_but_a_keyframe(steps: list[int], first: int) -> None:
    tracker, at, missing = MissingPackets(), first, 0
    tracker.received(at, 0.0)
    for step in steps:
        at, tracker.given_up = at + step, False
        assert tracker.received(at & 0xFFFF, 0.0)
        too_much = missing + step > MOST_MISSING
        missing = 0 if too_much else missing + step - 1
        assert (tracker.given_up, len(tracker)) == (too_much, missing)


def test_a_packet_is_asked_for_ten_times_and_then_given_up() -> None:
    tracker = MissingPackets()
    tracker.received(1, 0.0)
    tracker.received(3, 0.0)
    assert tracker.due(0.001) == [], "it may only be out of order"
    times = sum(bool(tracker.due(n * 0.02)) for n in range(1, 200))
    assert times == 10
    assert tracker.given_up
    assert not len(tracker), "nor waited for"


@pytest.mark.parametrize("round_trip", [0.02, 0.1, 0.45, 0.6])
def test_however_long_an_answer_takes_a_packet_is_asked_for_until_it_comes(round_trip: float) -> None:
    tracker, asked, answers = MissingPackets(), Counter[int](), list[tuple[float, int]]()
    came = set()
    for tick in range(1000):
        now = tick * 0.02
        for sequence in (2 * tick, 2 * tick + 1):
            if sequence % 100 != 50:
                assert tracker.received(sequence, now)
        for sequence in tracker.due(now):
            asked[sequence] += 1
            if (sequence, asked[sequence]) != (350, 1):  # one request is lost
                answers.append((now + round_trip, sequence))
        for at, sequence in [one for one in answers if one[0] <= now]:
            answers.remove((at, sequence))
            if tracker.received(sequence, now):
                came.add(sequence)
        if now > 2:
            assert not tracker.given_up
        tracker.given_up = False
    assert came >= set(range(50, 1900, 100))
    assert max(asked[n] for n in came if n > 400) <= 2
    assert asked[350] <= 3


def _check(ice: IceLite, *, nominated: bool) -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{ice.ufrag}:peer"
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 1
    if nominated:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(ice.password.encode())
    return bytes(message)


def test_who_nominates_nothing_is_where_they_came_from_last_once_the_old_path_is_quiet() -> None:
    ice = IceLite("w")
    one, other = ("192.0.2.1", 1), ("192.0.2.1", 2)
    at = [(0.0, one, True), (0.1, other, False), (5.0, one, False), (7.9, other, False)]
    for now, path, nominated in at:
        assert ice.answer(_check(ice, nominated=nominated), path, path, now)
        assert ice.selected == one
    assert ice.answer(_check(ice, nominated=False), other, other, 10.0)
    assert ice.selected == other
    assert ice.answer(_check(ice, nominated=True), one, one, 10.1)
    assert ice.selected == one


def test_after_a_restart_who_is_heard_no_more_where_they_were_is_where_they_look_for_a_way() -> None:
    one, other = ("192.0.2.1", 1), ("192.0.2.1", 2)
    for heard_at, selected in ((5.3, one), (4.9, other)):
        ice = IceLite("w")
        assert ice.answer(_check(ice, nominated=True), one, one, 4.0)
        ice.restart()
        ice.heard(one, heard_at)
        ice.heard(other, 5.4)  # no way of theirs yet
        assert ice.answer(_check(ice, nominated=False), other, other, 5.5)
        assert ice.selected == selected
        assert ice.answer(_check(ice, nominated=False), one, one, 6.2)
        assert ice.selected == selected, "once a restart, and not to and fro"
        assert ice.answer(_check(ice, nominated=True), other, other, 6.3)
        assert ice.selected == other


@given(st.lists(st.integers(60, 1200), min_size=1, max_size=60))
def test_a_burst_is_cut_into_runs_the_kernel_can_segment(sizes: list[int]) -> None:
    cut = runs(sizes)
    assert sum(map(len, cut)) == len(sizes), "nothing is lost"
    for run in cut:
        assert len(set(run[:-1])) <= 1
        assert run[-1] <= run[0]
    for size, grown in zip(sizes, itertools.chain.from_iterable(cut), strict=True):
        draft = Draft((OPUS.payload_type, 1, 1, bytes(range(1, 250)) * 5), 7)
        draft.tail, draft.size = draft.tail[: size - 12], size
        packet = Layout([draft], [grown], 16).part()
        assert len(packet) == grown + 16
        assert rtp.parts(packet, grown) == (b"", draft.tail), "padding takes nothing away"


def test_a_source_change_continues_the_pictures_numbers() -> None:
    def payload(picture: int, tl0: int) -> bytes:
        return bytes((0x90, 0xC0, 0x80 | picture >> 8, picture & 0xFF, tl0, 0x00))

    flow = vp8.Continuity()
    flow.restart(payload(100, 7), b"")
    for n in range(3):
        assert flow.rewrite(payload(100 + n, 7)) == payload(100 + n, 7)
    assert flow.rewrite(payload(101, 7)) == payload(101, 7), "a late packet keeps its number"
    flow.restart(payload(9000, 200), payload(102, 7))
    assert flow.rewrite(payload(9000, 200)) == payload(103, 8)
    assert flow.rewrite(payload(9001, 201)) == payload(104, 9)


def test_an_ice_restart_keeps_the_pair_in_use_until_the_new_one_is_used() -> None:
    ice = IceLite("w")
    first = ice.ufrag
    assert ice.restart() is None
    second = ice.ufrag
    assert ice.restart() == second, "an offer nobody took up is forgotten"
    assert ice._password_of(first) is not None
    assert ice._password_of(second) is None


@pytest.mark.parametrize("name", ["_set_role", "_write_ssl"])
def test_the_private_names_of_aiortc_that_we_use_exist(name: str) -> None:
    transport = RTCDtlsTransport(_Wire(), [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
    assert hasattr(transport, name)
    for attribute in ("_srtp_profiles", "_rx_srtp", "_tx_srtp"):
        assert hasattr(transport, attribute)
    assert hasattr(RTCCertificate, "_create_ssl_context")
    assert hasattr(Session(), "_srtp")


class _Wire:
    role = "controlled"
    state = "completed"
