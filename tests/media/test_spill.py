"""A room with more viewers than one worker carries: the rest watch at another, and nobody notices."""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock, patch

import pytest

from media.control import WorkerRefused
from media.draft import NONE
from media.formats import H264, VP8
from media.mirror import Mirror
from media.pipe import Feed, Inlet, Outlet, Pipe, _message, _packets
from media.red import PAYLOAD_TYPE as RED
from media.rtp import LONGEST, send_time
from media.slot import Slot, stage
from media.spill import Spill
from media.strand import LONGEST_BURST
from tests.builders import until
from tests.media.listeners import Listener
from tests.media.peers import CAMERA, MICROPHONE, ROOM, STUDENT_CAMERA, lossy_pipes, two_workers


async def test_a_worker_hears_of_its_mirrors_and_not_of_every_room_of_the_others(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    def hear(self: Spill, worker: str, name: str, facts: dict[str, Any]) -> None:
        heard.append((worker, name))
        real(self, worker, name, facts)

    real = Spill._hear
    with patch.object(Spill, "_hear", hear):
        async with two_workers(tmp_path) as (one, two, _):
            await one.hold_class("a", "b")
            await one.sees("b")
            assert {name for name, _ in one.said} >= {"slots", "transport", "quality"}
            assert [name for name, _ in two.said] == [], "nobody but the room's own worker tells of it"
    assert heard, "the room's worker hears of its mirror"
    assert {Path(worker).name for worker, _ in heard} == {"c1.sock"}, "and the mirror's hears nothing"


async def test_who_is_too_many_watches_at_the_other_worker(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, _):
        await one.hold_class("a", "b", "c")
        assert (await two.client.stats())["participants"] == 2
        assert (await two.client.stats())["mirrors"] == 1
        assert await two.client.occupants() == {}, "the room is the first one's"
        for name in ("a", "b", "c"):
            await one.sees(name)
            await one.sees(name, MICROPHONE)
            silent = await one.client.silent_for(ROOM, name)
            assert silent is not None
            assert silent < 6

        # Whoever comes onto the stage is seen there as well, from anywhere, and is not sent themselves.
        await one.client.grant(ROOM, "b", ["camera"])
        await one.publish("b", ("camera",))
        for name in ("a", "c"):
            await one.sees(name, STUDENT_CAMERA)
        assert not one.frames["b", STUDENT_CAMERA]
        await one.client.revoke(ROOM, "b", ["camera"])
        await asyncio.sleep(0.4)
        seen = one.frames["c", STUDENT_CAMERA]
        await asyncio.sleep(1)
        assert one.frames["c", STUDENT_CAMERA] <= seen + 2

        # A muted teacher is heard nowhere, and everywhere again afterwards.
        await one.client.mute(ROOM, "teacher", "camera", muted=True)
        await asyncio.sleep(0.4)
        seen = one.frames["b", CAMERA]
        await asyncio.sleep(1)
        assert one.frames["b", CAMERA] <= seen + 2
        await one.client.mute(ROOM, "teacher", "camera", muted=False)
        await one.sees("b")

        # Who is put out gets nothing any more, there neither.
        await one.client.detach(ROOM, "b", fence=one.rank)
        await asyncio.sleep(0.4)
        seen = one.frames["b", MICROPHONE]
        await asyncio.sleep(0.7)
        assert one.frames["b", MICROPHONE] <= seen + 2
        assert (await two.client.stats())["participants"] == 1
        await one.client.close_room(ROOM)
        await until(lambda: not two.worker.orders._mirrors, 5)
        assert (await two.client.stats())["participants"] == 0


async def test_what_a_pipe_loses_is_asked_for_again(tmp_path: Path) -> None:
    with lossy_pipes() as loss:
        async with two_workers(tmp_path) as (one, _, _):
            await one.keeps_up_over(loss)


async def test_what_a_viewer_there_misses_is_sent_again_from_there(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, _):
        with patch.object(Pipe, "on_feedback", autospec=True, side_effect=Pipe.on_feedback) as asked:
            await one.hold_class("a", "b")
            await one.sees("b")
            lines = one.peers[-1].getTransceivers()
            camera: Any = next(line.receiver for line in lines if line.mid == CAMERA)
            last = camera._RTCRtpReceiver__nack_generator.max_seq
            (place,) = [place for place in stage() if place.mid == CAMERA]
            mux, asked_before = two.worker.orders._wiring.mux, asked.call_count
            assert mux.sent_again == 0
            await camera._send_rtcp_nack(place.ssrc, [(last - n) & 0xFFFF for n in range(7, 2, -1)])
            await until(lambda: mux.sent_again == 5, 5)
            assert asked.call_count == asked_before, "the room's own worker is asked for nothing"
            assert one.worker.orders._wiring.mux.sent_again == 0


async def test_viewers_of_a_worker_that_dies_are_told_and_come_back(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, stop):
        await one.hold_class("a", "b")
        await one.sees("b")
        (gone,) = [
            o.elsewhere.connection
            for o in one.worker.orders._rooms[ROOM].participants.values()
            if o.elsewhere
        ]
        stop.set()
        told = {"room": ROOM, "participant": "b", "id": gone, "kind": "subscribe", "state": "closed"}
        await until(lambda: ("transport", told) in one.said, 5)
        await until(lambda: not two.client.connected, 5)
        await one.subscribe("b")  # nobody else is there: it is carried here
        await one.sees("b")


async def test_what_slept_there_is_taken_again_though_its_numbers_went_on(tmp_path: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    async with two_workers(tmp_path) as (one, _, _):
        wiring = one.worker.orders._wiring
        mirror = Mirror(wiring, lambda *event: told.append(event), object(), number=1, ask=lambda _data: None)
        nobody = {"participant": None, "take": 0, "format": None, "qualities": 0, "paused": False}
        camera = {"participant": "t", "take": 1, "format": "vp8", "qualities": 3, "paused": False}
        mirror.show([camera if slot.place.mid == "1" else nobody for slot in mirror.places], [])
        slot = mirror.places[1]
        assert slot.producer is not None
        best, now = slot.producer.layers[2], 1000.0

        def comes(sequence: int) -> int:
            packet = struct.pack("!BBHLL", 0x80, 0x80 | VP8.payload_type, sequence, 0, 7) + b"\x10\x00"
            mirror.take(1, 2, [packet])
            return best.packets

        def last() -> int:
            return slot.strands[2].numbers(NONE).sequence

        before = last()
        assert comes(100) == 1
        assert comes(100) == 1, "it came before"
        assert last() == before + 1
        mirror._rest(slot, slot.producer, now)
        mirror._rest(slot, slot.producer, now + 11)
        assert told[-1] == ("layers", {"mid": "1", "take": 1, "awake": [0]})
        slot.strands[2].waiting[Listener()] = None
        mirror._rest(slot, slot.producer, now + 300)
        assert told[-1] == ("layers", {"mid": "1", "take": 1, "awake": [0, 2]})
        assert comes(40_100) == 2
        assert last() == before + 2, "to a viewer nothing is missing"
        assert comes(40_099) == 2, "what left before has no number"
        # Another source on the same place is another stream.
        mirror.show([{**camera, "take": 2} if one.place.mid == "1" else nobody for one in mirror.places], [])
        assert slot.producer.layers[2] is not best


async def test_what_a_strand_numbered_arrives_as_it_was(tmp_path: Path) -> None:
    """Sound with older frames and H.264, too; what is watched nowhere but there does not rest."""
    async with two_workers(tmp_path) as (one, _, _):
        wiring = one.worker.orders._wiring
        mirror = Mirror(wiring, lambda *_event: None, object(), number=9, ask=lambda _data: None)
        shown: list[dict[str, Any]] = []
        for slot in mirror.places:
            encoding = {"1": "h264", "2": "opus"}.get(slot.place.mid)
            shown.append({"participant": "t", "take": 1, "format": encoding, "qualities": 1, "paused": False})
        mirror.show(shown, [])
        came: list[tuple[Any, ...]] = []
        for slot in mirror.places[1:3]:
            cast(Any, slot.strands[0]).relay = came.extend
        sent: list[tuple[Any, ...]] = []
        for mid, kind, payload in (
            (1, H264.payload_type, b"\x65idr"),
            (2, RED, b"\x6fred"),
            (2, 111, b"opus"),
        ):
            strand = Slot(mirror.places[mid].place, wiring.mux.sender).strands[0]

            def out(head: bytes, packets: Iterable[bytes], mid: int = mid) -> None:
                assert struct.unpack("!HBB", head) == (9, mid, 0)
                mirror.take(mid, 0, packets)

            feed = Feed(strand, 7, struct.pack("!HBB", 9, mid, 0), out)
            assert not strand.is_watched
            strand.let_out(feed, wanted=True)
            assert strand.is_watched
            strand.let_out(feed, wanted=False)
            assert not strand.is_watched
            sent.append((0x80 | kind, 700 + len(sent), 9000, payload))
            feed.take(sent[-1:])
        assert came == sent
        # From a host that was not updated yet.
        head = struct.pack("!BBHLL", 0x90, 0x80 | H264.payload_type, 701, 9000, 7)
        mirror.take(1, 0, [head + send_time(1.0) + b"\x65idr"])
        assert came[-1] == (0x80 | H264.payload_type, 701, 9000, b"\x65idr")


async def test_a_frame_leaves_at_once_whether_it_came_as_one_message_or_packet_by_packet() -> None:
    sender = Mock()
    (place,) = [one for one in stage() if one.mid == "1"]
    strand = Slot(place, sender).strands[0]
    strand.add(Listener())
    first, second = [
        [
            (
                VP8.payload_type | (0x80 if n == 2 else 0),
                sequence + n,
                3000 * sequence,
                b"\x10\x00" + b"x" * n,
            )
            for n in range(3)
        ]
        for sequence in (10, 13)
    ]
    strand.relay(first)
    for one in second:  # as it comes from another host
        strand.relay([one])
    assert [len(call.args[0]) for call in sender.burst.mock_calls] == [3, 3]


async def test_what_comes_before_a_keyframe_in_one_message_does_not_ask_for_another() -> None:
    (place,) = [one for one in stage() if one.mid == "1"]
    strand = Slot(place, Mock()).strands[0]
    strand.take(layer := Mock(payload_format=VP8))
    kind = VP8.payload_type | 0x80
    strand.relay([(kind, 10, 0, b"\x10\x01"), (kind, 11, 3000, b"\x10\x00"), (kind, 12, 6000, b"\x10\x01")])
    assert strand.packets == 2
    layer.request_keyframe.assert_not_called()
    strand.resync()
    strand.relay([(kind, 13, 9000, b"\x10\x01")])
    layer.request_keyframe.assert_called_once()


async def test_a_burst_goes_over_a_pipe_in_one_message(tmp_path: Path) -> None:
    came: list[tuple[bytes, Sequence[bytes]]] = []
    read = Mock()
    inlet = Inlet(tmp_path / "c.pipe", lambda head, packets: came.append((head, list(packets))))
    outlet = Outlet(str(tmp_path / "c"))
    loop = asyncio.get_running_loop()
    inlet.start(loop, read)
    outlet.open(None)
    longest = [bytes((n,)) * LONGEST for n in range(LONGEST_BURST)]
    bursts = [(b"head", [b"\x80", b"", longest[1]]), (b"tail", longest), (b"more", [b"\x80\xc8"])]
    for burst in bursts:
        outlet.send(*burst)
    await until(lambda: len(came) == len(bursts), 5)
    assert came == bursts
    assert read.call_count == len(bursts)
    with pytest.raises(struct.error):
        list(_packets(_message(*bursts[0])[:-1]))
    outlet.close()
    await until(lambda: not inlet._connections, 5)
    inlet.close(loop)


async def test_a_stale_farewell_harms_no_room_of_ones_own(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, _):
        await one.hold_class("a", "b")
        await two.client.attach(ROOM, "b", staff=False, device="d", fence=one.rank)  # it moved there
        await one.client.close_room(ROOM)
        await asyncio.sleep(0.5)
        assert await two.client.occupants() == {ROOM: {"b": one.rank}}


async def test_a_worker_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with two_workers(tmp_path) as (one, two, _):
        await one.hold_class("a", "b")
        monkeypatch.setattr(two.worker._door, "_answer", lambda *_: asyncio.sleep(60))
        began = asyncio.get_running_loop().time()
        await one.client.silent_for(ROOM, "b")
        await one.attach("c")
        await one.subscribe("c")  # carried here
        assert asyncio.get_running_loop().time() - began < 4
        await one.sees("c")


async def test_a_room_whose_worker_is_gone_is_mirrored_no_longer(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as (one, two, _):
        await one.hold_class("a", "b")
        await one.sees("b")
        # The web processes give the class to the second worker: there it is a room like any other.
        await two.client.attach(ROOM, "b", staff=False, device="d", fence=99)
        assert (await two.client.stats())["mirrors"] == 0
        assert await two.client.occupants() == {ROOM: {"b": 99}}
        with pytest.raises(WorkerRefused, match="not_attached"):
            await one.client.view(ROOM, "nobody", {}, limit=None)


async def test_no_pipe_is_kept_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.spill._SECONDS_UNUSED", 1.0)
    async with two_workers(tmp_path) as (one, two, _):
        await one.hold_class("a", "b")
        await asyncio.sleep(1.5)
        assert (await two.client.stats())["mirrors"] == 1
        await one.client.detach(ROOM, "b", fence=one.rank)
        await until(lambda: not two.worker.orders._mirrors, 5)
        await one.attach("c")
        await one.subscribe("c")
        await one.sees("c")
