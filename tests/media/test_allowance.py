"""What one peer may send, and what becomes of one that sends more."""

import asyncio
import itertools
import struct
from pathlib import Path
from typing import Any

from media.allowance import Allowance
from media.burst import Audience
from media.draft import Draft, packet
from media.formats import OPUS
from media.producer import Producer
from media.slot import Slot, stage
from media.timeline import SenderClock
from tests.builders import until
from tests.media.listeners import Listener
from tests.media.peers import bench


def test_a_browser_stays_below_every_limit() -> None:
    allowance = Allowance()
    for _ in range(60):
        for n in range(600):
            assert allowance.media((n % 6).to_bytes(4, "big"), 1100)
        for _ in range(100):
            assert allowance.report(b"\0\0\0\1")
        allowance.next_second()
    assert not allowance.exhausted


def test_too_many_streams_cut_a_peer_off() -> None:
    for kind in ("media", "report"):
        allowance = Allowance()
        for n in range(64):
            ssrc = n.to_bytes(4, "big")
            assert allowance.media(ssrc, 100) if kind == "media" else allowance.report(ssrc)
        assert not allowance.exhausted
        assert not (allowance.media(b"\1\0\0\0", 100) if kind == "media" else allowance.report(b"\1\0\0\0"))
        assert allowance.exhausted


def test_forged_packets_cost_the_peer_nothing() -> None:
    allowance = Allowance()
    for n in range(1000):
        ssrc = n.to_bytes(4, "big")
        assert allowance.media(ssrc, 10)
        allowance.take_back()
    assert not allowance.exhausted


def test_a_stream_counts_whatever_is_sent_under_its_ssrc_afterwards() -> None:
    for kind in ("media", "report"):
        allowance = Allowance()
        for n in range(65):
            ssrc = n.to_bytes(4, "big")
            for _ in range(2):
                assert (allowance.media(ssrc, 100) if kind == "media" else allowance.report(ssrc)) == (n < 64)
            allowance.take_back()  # the second was a replay
        assert allowance.exhausted


def test_a_flood_is_dropped_at_once_and_its_sender_after_a_while() -> None:
    allowance = Allowance()
    for second in range(5):
        assert not allowance.exhausted, second
        for n in range(3000):
            assert allowance.media(b"\0\0\0\1", 100) == (n < 2000)
        allowance.next_second()
    assert allowance.exhausted


async def test_a_viewer_that_floods_reports_of_many_streams_is_put_out_and_the_class_goes_on(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        await b.attach("teacher", staff=True)
        await b.publish("teacher", ("camera",))
        await b.attach("good")
        await b.subscribe("good")
        await b.attach("bad")
        peer = await b.subscribe("bad")
        await until(lambda: b.frames["bad", "1"] > 5, 20)
        transport = peer.getTransceivers()[0].receiver.transport
        for ssrc in range(1000, 1200):
            await transport._send_rtp(struct.pack("!BBHL", 0x80, 201, 1, ssrc))  # an empty receiver report
        closed = {"participant": "bad", "kind": "subscribe", "state": "closed"}
        await until(lambda: any(closed.items() <= facts.items() for _, facts in b.said), 5)
        seen = b.frames["good", "1"]
        await asyncio.sleep(0.5)
        assert b.frames["good", "1"] > seen


class _Kept:
    """A viewer that keeps what it is sent."""

    def __init__(self) -> None:
        self.sequences: list[int] = []

    def forget(self, one: object) -> None: ...
    def finish(self, of: object) -> None: ...

    def burst(self, drafts: list[Draft], audiences: list[Audience], *, pictures: bool, of: object) -> None:
        packets = [packet(draft, one.shift) for one in audiences for draft in drafts]
        self.sequences += [struct.unpack_from("!H", packet, 2)[0] for packet in packets]


def _audio_slot() -> tuple[Slot, list[int]]:
    kept = _Kept()
    sender: Any = kept
    slot = Slot(next(one for one in stage() if one.kind == "audio"), sender)
    slot.strands[0].add(Listener())
    return slot, kept.sequences


async def test_a_leap_in_a_streams_numbers_is_not_passed_on() -> None:
    """Two leaps of 0x7000 lost by a viewer would shift its SRTP roll-over counter for good."""
    slot, sequences = _audio_slot()
    for sequence in (10, 11, 11 + 0x7000, 12 + 0x7000, 12 + 0xE000, 13 + 0xE000):
        slot.strands[0].forward(b"x", 0, sequence & 0xFFFF, sequence * 960)
    assert [(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)] == [1] * 5


async def test_retransmitted_audio_is_not_taken() -> None:
    """Nobody asks for it, and the same number with other bytes would be encrypted under one nonce."""
    slot, sequences = _audio_slot()
    producer = Producer(
        mid="0",
        owner="teacher",
        source="microphone",
        payload_format=OPUS,
        payload_type=111,
        rtx_payload_type=112,
        red_payload_type=None,
        rids=(),
        clock=SenderClock(answers=True),
        stand=slot,
        send_rtcp=lambda _packet: None,
        on_asked=lambda _count: None,
    )
    slot.take(producer)
    (layer,) = producer.layers
    layer.on_rtp(b"one", 0, 100, 0, 0.0)
    layer.on_rtx((100).to_bytes(2, "big") + b"two", 0, 0, 0.0)
    assert len(sequences) == 1
