"""Who hears whom in one class: participants, their connections, the places of the stage."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from media.publishing import PublishRefused, PublishTransport
from media.sdp import SdpError, parse
from media.slot import Slot, stage
from media.subscribing import SubscribeTransport
from media.tcp import TcpPath
from media.transport import NewPeerCertificate, Transport, Wiring

SOURCES = ("camera", "microphone", "screen")
_ids = itertools.count(1)

Tell = Callable[[str, dict[str, Any]], None]  # an event's name and facts


class OlderEntrance(Exception):
    """Somebody who has entered again since: the newer entrance stands."""


class FloorFull(Exception):
    """No place of the stage is left for this source."""


@dataclass(slots=True, eq=False)
class Participant:
    """Somebody in the room. Closed by the room, with both connections."""

    id: str
    staff: bool
    owner: object  # the control connection that answers for them
    device: str
    fence: int = 0
    granted: set[str] = field(default_factory=set)
    muted: set[str] = field(default_factory=set)
    publish: PublishTransport | None = None
    subscribe: SubscribeTransport | None = None
    gone_at: float | None = None  # when their control connection was lost

    def transports(self) -> list[Transport]:
        return [t for t in (self.publish, self.subscribe) if t is not None]

    def silent_for(self, now: float) -> float | None:
        """Return the seconds since the last packet of theirs, or None without a connection."""
        times = [t.silent_for(now) for t in self.transports() if t.connected]
        return min(times) if times else None


class Room:
    """Closed by the worker."""

    def __init__(self, wiring: Wiring, tell: Tell) -> None:
        self.participants: dict[str, Participant] = {}
        self._wiring = wiring
        self._tell = tell
        self._slots = [Slot(place, wiring.mux.sender, on_packet=self._by_tcp) for place in stage()]
        self._tcp: list[tuple[str, SubscribeTransport]] = []
        self._by_mid = {slot.place.mid: slot for slot in self._slots}
        self.empty_since = time.monotonic()
        self._told: list[dict[str, Any]] = []

    # People

    def attach(
        self,
        participant_id: str,
        *,
        staff: bool,
        owner: object,
        device: str,
        fence: int,
        floor: Sequence[str],
    ) -> Participant:
        """Let somebody in, or take them over: another device's connections are closed."""
        participant = self.participants.get(participant_id)
        if participant is None:
            participant = Participant(participant_id, staff, owner, device)
            self.participants[participant_id] = participant
        elif fence < participant.fence:
            raise OlderEntrance
        elif participant.device != device:
            self._disconnect(participant)
            participant.device = device
            participant.muted.clear()
        participant.owner = owner
        participant.fence = fence
        participant.gone_at = None
        participant.staff = staff
        for source in participant.granted - set(floor):
            self.revoke(participant, source)
        for source in floor:
            if source not in participant.granted:
                try:
                    self.grant(participant, source)
                except FloorFull:
                    continue
        return participant

    def detach(self, participant_id: str) -> None:
        """Put somebody out: not a packet of or to them after this call."""
        participant = self.participants.pop(participant_id, None)
        if participant is None:
            return
        self._disconnect(participant)
        for slot in self._slots:
            if slot.holder == participant_id:
                slot.holder = None
        if not self.participants:
            self.empty_since = time.monotonic()
        self._announce()

    def _disconnect(self, participant: Participant) -> None:
        if participant.publish is not None:
            for mid in list(participant.publish.producers):
                participant.publish.remove(mid)
        for transport in participant.transports():
            transport.close()
        participant.publish = participant.subscribe = None
        self._aim()

    def close(self) -> None:
        for participant_id in list(self.participants):
            self.detach(participant_id)
        for slot in self._slots:
            slot.close()

    # The floor

    def grant(self, participant: Participant, source: str) -> None:
        """Let a student send a source, and keep a place for it. Raises FloorFull."""
        if source in participant.granted or participant.staff:
            return
        slot = self._free_slot(participant, source)
        slot.holder = participant.id
        participant.granted.add(source)

    def revoke(self, participant: Participant, source: str) -> None:
        """Take the floor back: nothing of it is forwarded from this call on."""
        participant.granted.discard(source)
        self._stop(participant, source)
        for slot in self._slots:
            if slot.holder == participant.id and slot.place.source == source:
                slot.holder = None
        self._announce()

    def _stop(self, participant: Participant, source: str) -> None:
        if participant.publish is None:
            return
        for mid, producer in list(participant.publish.producers.items()):
            if producer.source == source:
                participant.publish.remove(mid)

    def _free_slot(self, participant: Participant, source: str) -> Slot:
        stages = ("instructor", "student") if participant.staff else ("student",)
        for wanted in stages:
            for slot in self._slots:
                place = slot.place
                if place.stage == wanted and place.source == source and slot.holder is None:
                    return slot
        raise FloorFull(source)

    # Connections

    def publish(
        self, participant: Participant, sdp: str, sources: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        """Answer a participant's offer. Raises SdpError."""
        offer = parse(sdp)

        def claim(_mid: str, source: str) -> Slot:
            return self._claim(participant, source)

        try:
            answer, refused = self._publisher(participant).answer(offer, sources, claim)
        except NewPeerCertificate:  # a new connection of the client's, in place of the old
            assert participant.publish is not None  # noqa: S101 - it raised
            participant.publish.close()
            answer, refused = self._publisher(participant).answer(offer, sources, claim)
        assert participant.publish is not None  # noqa: S101 - made above
        held = {producer.source for producer in participant.publish.producers.values()}
        for slot in self._slots:
            if slot.holder == participant.id and participant.staff:
                slot.holder = participant.id if slot.place.source in held else None
        for producer in participant.publish.producers.values():
            producer.pause(paused=producer.source in participant.muted)
        self._announce()
        return answer, refused

    def _publisher(self, participant: Participant) -> PublishTransport:
        if participant.publish is None:
            participant.publish = PublishTransport(self._wiring, self._state_of(participant))
            participant.publish.id = next(_ids)
        return participant.publish

    def _claim(self, participant: Participant, source: str) -> Slot:
        if source not in SOURCES:
            raise PublishRefused("invalid")
        if not participant.staff and source not in participant.granted:
            raise PublishRefused("not_on_stage")
        for slot in self._slots:
            if slot.holder == participant.id and slot.place.source == source:
                return slot
        try:
            slot = self._free_slot(participant, source)
        except FloorFull:
            raise PublishRefused("floor_full") from None
        slot.holder = participant.id
        return slot

    def offer(self, participant: Participant, *, restart: bool) -> str:
        """Return our offer of the stage: of a new connection, or with `restart` of the same one,
        its keys kept and its ICE renewed.
        """
        if participant.subscribe is not None and not restart:
            participant.subscribe.close()
        if participant.subscribe is None:
            transport = SubscribeTransport(
                self._wiring, self._state_of(participant), self._slots, self._someone_watches
            )
            transport.id = next(_ids)
            participant.subscribe = transport
            restart = False
        return participant.subscribe.offer(restart=restart)

    def accept(self, participant: Participant, sdp: str) -> None:
        """Take the answer to our offer. Raises SdpError, NewPeerCertificate."""
        answer = parse(sdp)
        if participant.subscribe is None:
            raise SdpError("nothing was offered, or the connection is gone: ask for an offer again")
        participant.subscribe.accept(answer)

    def mute(self, participant: Participant, source: str, *, muted: bool) -> None:
        """Stop or resume forwarding a source its sender keeps."""
        (participant.muted.add if muted else participant.muted.discard)(source)
        if participant.publish is not None:
            for producer in participant.publish.producers.values():
                if producer.source == source:
                    producer.pause(paused=muted)
        self._announce()

    def _state_of(self, participant: Participant) -> Callable[[Transport, str], None]:
        def changed(transport: Transport, state: str) -> None:
            if state == "closed":
                if participant.publish is transport:
                    for mid in list(participant.publish.producers):
                        participant.publish.remove(mid)
                    participant.publish = None
                    self._announce()
                elif participant.subscribe is transport:
                    participant.subscribe = None
            self._aim()
            kind = "publish" if isinstance(transport, PublishTransport) else "subscribe"
            self._tell(
                "transport",
                {"participant": participant.id, "id": transport.id, "kind": kind, "state": state},
            )

        return changed

    # The fan-out

    def _someone_watches(self) -> None:
        self._aim()
        for slot in self._slots:
            if slot.producer is not None:
                slot.producer.request_keyframe()

    def _aim(self) -> None:
        """Write down anew whom each slot sends to. Closed transports leave before this returns:
        their keys are freed with them.
        """
        reachable = []
        self._tcp = []
        for participant in self.participants.values():
            watcher = participant.subscribe
            if watcher is None or not watcher.connected:
                continue
            target = watcher.target()
            if target is not None:
                reachable.append((participant.id, target))
            elif isinstance(watcher.path, TcpPath):
                self._tcp.append((participant.id, watcher))
        everybody = [target for _, target in reachable]
        for slot in self._slots:
            holder = slot.holder
            slot.targets = (
                [target for who, target in reachable if who != holder]
                if any(who == holder for who, _ in reachable)
                else everybody
            )

    def _watchers(self) -> list[SubscribeTransport]:
        return [one.subscribe for one in self.participants.values() if one.subscribe is not None]

    def _by_tcp(self, packet: bytes, mid: str) -> None:
        if self._tcp:
            holder = self._by_mid[mid].holder
            for who, watcher in self._tcp:
                if who != holder:
                    watcher.send_rtp(packet)

    def _announce(self) -> None:
        """Aim anew, and tell of the stage when it looks different."""
        self._aim()
        slots = self.slots()
        if slots != self._told:
            self._told = slots
            self._tell("slots", {"slots": slots})

    def slots(self) -> list[dict[str, Any]]:
        """Return who stands where; a place without a producer has no participant."""
        return [
            {
                "mid": slot.place.mid,
                "source": slot.place.source,
                "kind": slot.place.kind,
                "stage": slot.place.stage,
                "participant": slot.holder if slot.producer is not None else None,
                "paused": bool(slot.producer and slot.producer.paused),
            }
            for slot in self._slots
        ]

    # Time

    def tick(self, now: float) -> None:
        """Once a second: reports, consent."""
        for participant in list(self.participants.values()):
            for transport in participant.transports():
                transport.tick(now)

    def tick_fast(self, now: float) -> None:
        """Every 20 ms: ask again for what is missing, and send to where viewers have moved."""
        moved = [one for one in self._watchers() if one.moved]
        if moved:
            for one in moved:
                one.moved = False
            self._someone_watches()
        for participant in self.participants.values():
            if participant.publish is not None:
                participant.publish.tick_fast(now)
