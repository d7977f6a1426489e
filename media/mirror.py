"""A room of another worker, for those of its people who watch it here: the stage comes over a pipe."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from media import rtcp
from media.draft import Entry
from media.formats import FORMATS, Format
from media.pipe import ssrc_of
from media.producer import Producer
from media.red import PAYLOAD_TYPE as RED
from media.room import Room, Tell
from media.rtp import HEADER, HEADER_SIZE, SEND_TIME_SIZE, is_rtcp
from media.slot import Slot
from media.timeline import SenderClock
from media.transport import Wiring

_NAMED: Mapping[str, Format] = {one.name: one for kind in FORMATS.values() for one in kind}


class Mirror(Room):
    """Nobody sends here, and nothing is decided here but what each viewer gets. Closed by the worker.

    `owner` is the control connection of the room's own worker.
    """

    def __init__(
        self, wiring: Wiring, tell: Tell, owner: object, *, number: int, ask: Callable[[bytes], None]
    ) -> None:
        super().__init__(wiring, tell)
        self.owner = owner
        self.number = number
        self._ask = ask
        self._clock = SenderClock(answers=False)  # that of the room's own worker, which tells by itself
        self._takes: dict[str, int] = {}  # which of a place's sources is shown, by mid

    def show(self, places: Sequence[Mapping[str, Any]], speaking: list[str]) -> None:
        """Take what stands on the stage, by mid: the participant, which source of the place's it is, its
        format, how many qualities, and which of them are left out (a host that was not updated yet does not
        say).
        """
        for slot, place in zip(self.places, places, strict=True):
            payload_format = _NAMED.get(place["format"] or "")
            producer = slot.producer
            if payload_format is None:
                slot.take(None)
                continue
            if producer is None or self._takes.get(slot.place.mid) != place["take"]:
                self._takes[slot.place.mid] = place["take"]
                producer = self._relayed(slot, payload_format, place)
                slot.take(producer)
            for layer, left_out in zip(producer.layers, place.get("left_out", ()), strict=False):
                layer.left_out = left_out
            if producer.paused != place["paused"]:
                producer.pause(paused=place["paused"])
        self._speaking = speaking
        self._aim()

    def _relayed(self, slot: Slot, payload_format: Format, shown: Mapping[str, Any]) -> Producer:
        place = slot.place
        producer = Producer(
            mid=place.mid,
            owner=shown["participant"],
            source=place.source,
            payload_format=payload_format,
            payload_type=payload_format.payload_type,
            rtx_payload_type=None,
            red_payload_type=None,
            rids=[str(n) for n in range(shown["qualities"])],
            clock=self._clock,
            stand=slot,
            send_rtcp=self._ask,
            on_asked=lambda _count: None,
            waits=False,  # the room's own worker has waited
        )
        for quality, layer in enumerate(producer.layers):
            layer.ssrc = ssrc_of(place, quality)
        return producer

    def take(self, mid: int, quality: int, packets: Iterable[bytes]) -> None:
        """Take what came over the pipe: all of it, or nothing when some of it is no packet. Raises RtcpError,
        IndexError, struct.error.
        """
        producer = self.places[mid].producer
        if producer is None or quality >= len(producer.layers):
            return
        layer, strand = producer.layers[quality], self.places[mid].strands[quality]
        burst: list[Entry] = []
        now = time.monotonic()
        for packet in packets:
            if is_rtcp(packet):
                for report in rtcp.parse(packet):
                    if isinstance(report, rtcp.SenderReport):
                        strand.tell(report, now)
                continue
            first, kind, sequence, timestamp, _ = HEADER.unpack_from(packet)
            if kind & 0x7F not in (layer.payload_type, RED):
                continue  # of a source before or after: it is shown in a moment
            # A host that was not updated yet lays packets out, with the time of sending.
            begin = HEADER_SIZE + (SEND_TIME_SIZE if first & 0x10 else 0)
            burst.append((kind, sequence, timestamp, packet[begin:]))
        strand.relay(layer.relayed(burst, now))

    def _producers(self) -> list[Producer]:
        return [slot.producer for slot in self.places if slot.producer is not None]

    def tick(self, now: float) -> None:
        for producer in self._producers():
            producer.measure(now)
        super().tick(now)

    def tick_fast(self, now: float) -> None:
        for producer in self._producers():
            producer.tick(now)
        super().tick_fast(now)

    def _listen(self, now: float) -> None:
        """Who speaks, and who stands where, is found out where they are heard."""

    def _rest(self, slot: Slot, producer: Producer, now: float) -> None:
        """Have the room's own worker rest what nobody watches here; what wakes begins anew, for its numbers
        went on meanwhile.
        """
        changed = False
        for quality, strand in enumerate(slot.strands[1:], 1):
            layer = strand.layer
            watched = self._is_watched(slot, quality)
            if layer is not None and layer.note_watched(now, watched=watched):
                changed = True
                if not layer.resting:
                    layer.restart()
        if changed:
            mid = slot.place.mid
            awake = [n for n, layer in enumerate(producer.layers) if not layer.resting]
            self._tell("layers", {"mid": mid, "take": self._takes[mid], "awake": awake})

    def _announce(self) -> None:
        """The stage is told of by the room's own worker."""
        self._aim()
