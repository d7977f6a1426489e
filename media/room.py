"""Who hears whom in one class: participants, their connections, the places of the stage."""

import itertools
import secrets
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from media.layer import Layer
from media.participant import Participant
from media.pipe import Pipe
from media.player import PlayerTransport
from media.producer import Producer, Stand
from media.programme import Programme, programme
from media.publishing import PublishRefused, PublishTransport, can_be_taken
from media.sdp import Description, SdpError, parse
from media.slot import Slot, stage
from media.speakers import Speakers
from media.subscribing import SubscribeTransport
from media.timeline import SenderClock
from media.transport import NewPeerCertificate, Transport, Wiring
from media.viewing import Viewing
from media.wings import Wings

SOURCES = ("camera", "microphone", "screen")
_SECONDS_BETWEEN_LEVELS = 0.3
_SECONDS_BETWEEN_LOOKS = 0.1  # for a quality that is left out
_MOST_GRANTED = 30  # students who may send one source: what waits beside the stage costs, too
_ids = itertools.count(secrets.randbelow(1 << 19) << 20)  # no two workers name two connections alike

Tell = Callable[[str, dict[str, Any]], None]  # an event's name and facts


class OlderEntrance(Exception):
    """Somebody who has entered again since: the newer entrance stands."""


class FloorFull(Exception):
    """Nobody else may send this source now."""


class Room:
    """Closed by the worker."""

    def __init__(self, wiring: Wiring, tell: Tell) -> None:
        self.participants: dict[str, Participant] = {}
        self.viewing = Viewing()
        self.pipes: dict[str, Pipe] = {}  # to other workers, by their control addresses
        self.on_left: Callable[[Participant], None] = lambda _participant: None  # who watched elsewhere
        self._ticked_at = time.monotonic()
        self._wiring = wiring
        self._tell = tell
        self.places = [Slot(place, wiring.mux.sender) for place in stage()]
        self._wings = Wings(self.places, self._came_on)
        self._speakers = Speakers()
        self._speaking: list[str] = []
        self._heard_at = 0.0
        self._compared_at = 0.0
        self._programme = Programme()
        self._publishing: dict[PublishTransport, None] = {}
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
            for producer in participant.producers():
                producer.pause(paused=False)
            self._announce()
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
        if participant.encoder is not None:
            participant.encoder.close()
        if not self.participants:
            self.empty_since = time.monotonic()
        self._announce()

    def _disconnect(self, participant: Participant) -> None:
        """Close the connections of a page."""
        for transport in (participant.publish, participant.subscribe):
            if transport is not None:
                transport.close()
        participant.publish = participant.subscribe = None
        self._leave_elsewhere(participant)
        self._announce()

    def _leave_elsewhere(self, participant: Participant) -> None:
        if participant.elsewhere is not None:
            self.on_left(participant)
            participant.elsewhere = None

    def add_pipe(self, worker: str, pipe: Pipe) -> None:
        self.pipes[worker] = pipe
        pipe.show(self._speaking)

    def close(self) -> None:
        for participant_id in list(self.participants):
            self.detach(participant_id)
        for pipe in self.pipes.values():
            pipe.close()
        self.pipes.clear()
        for slot in self.places:
            slot.close()

    # The floor

    def grant(self, participant: Participant, source: str) -> None:
        """Let a student send a source. Raises FloorFull."""
        if source in participant.granted or participant.staff:
            return
        granted = sum(source in one.granted for one in self.participants.values())
        if granted >= _MOST_GRANTED or not self._wings.places(source):
            raise FloorFull(source)
        participant.granted.add(source)

    def revoke(self, participant: Participant, source: str) -> None:
        """Take the floor back: nothing of it is forwarded from this call on."""
        participant.granted.discard(source)
        self._stop(participant, source)
        self._announce()

    def _stop(self, participant: Participant, source: str, *, but: PublishTransport | None = None) -> None:
        """Take a source off the stage, whatever sends it; with `but`, only what others than that send."""
        for transport in participant.publishers():
            for mid, producer in list(transport.producers.items()):
                if producer.source == source and transport is not but:
                    transport.remove(mid)
                    if but is not None:
                        transport.superseded.add(mid)
                    if but is not None and transport is participant.publish:
                        self._tell("replaced", {"participant": participant.id, "source": source})

    # Connections

    def publish(
        self, participant: Participant, sdp: str, sources: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        """Answer a participant's offer. Raises SdpError."""
        offer = parse(sdp)
        try:
            answer, refused = self._answer(participant, self._publisher(participant), offer, sources)
        except NewPeerCertificate:  # a new connection of the client's, in place of the old
            assert participant.publish is not None  # noqa: S101 - it raised
            participant.publish.close()
            answer, refused = self._answer(participant, self._publisher(participant), offer, sources)
        return answer, refused

    def encode(self, participant: Participant, sdp: str, *, picture: str, login: str) -> tuple[str, int]:
        """Answer the offer of a program that sends for a participant by one of their logins: its first
        picture, shown as `picture` (camera or screen), and its first sound. What the person sent of these
        before has ended; when the offer is refused, it goes on.

        Returns the answer and the connection's id. Raises SdpError, FloorFull.
        """
        offer = parse(sdp)
        sources: dict[str, str] = {}
        for source, kind in ((picture, "video"), ("microphone", "audio")):
            mids = [one.mid for one in offer.sections if one.kind == kind and can_be_taken(one)]
            sources |= dict.fromkeys(mids[:1], source)
        if not sources:
            raise SdpError("nothing in it can be forwarded: send VP8 or H.264, and Opus")
        try:
            for source in sources.values():
                self._claim(participant, source)
        except PublishRefused as refusal:
            raise FloorFull(picture) from refusal
        before = participant.encoder
        # GStreamer 1.22 stops sending for good when it is asked for a report.
        transport = self._new_publisher(participant, SenderClock(answers=False))
        participant.encoder, participant.login = transport, login
        try:
            answer, _ = self._answer(participant, transport, offer, sources)
        except BaseException:
            transport.close()
            participant.encoder = before
            raise
        if before is not None:
            before.close()
        return answer, transport.id

    def stop_encoding(self, participant: Participant, number: int) -> None:
        if participant.encoder is not None and participant.encoder.id == number:
            participant.encoder.close()

    def _answer(
        self,
        participant: Participant,
        transport: PublishTransport,
        offer: Description,
        sources: Mapping[str, str],
    ) -> tuple[str, dict[str, str]]:
        def claim(source: str) -> Stand:
            stand = self._claim(participant, source)
            self._stop(participant, source, but=transport)  # the newest is what counts
            return stand

        answer, refused = transport.answer(offer, sources, claim)
        self._aim()  # who sends may be another though the stage looks the same
        self._announce()
        return answer, refused

    def _publisher(self, participant: Participant) -> PublishTransport:
        if participant.publish is None:
            participant.publish = self._new_publisher(participant, SenderClock(answers=True))
        return participant.publish

    def _new_publisher(self, participant: Participant, clock: SenderClock) -> PublishTransport:
        state, staff = self._state_of(participant), participant.staff
        transport = PublishTransport(self._wiring, state, participant.id, staff=staff, clock=clock)
        transport.id = next(_ids)
        self._publishing[transport] = None
        return transport

    def _claim(self, participant: Participant, source: str) -> Stand:
        """Return where a source of theirs is to stand. Raises PublishRefused."""
        if source not in SOURCES:
            raise PublishRefused("invalid")
        if not participant.staff and source not in participant.granted:
            raise PublishRefused("not_on_stage")
        fitting = self._wings.places(source, staff=participant.staff)
        theirs = [slot for slot in fitting if slot.holder == participant.id]
        free = [slot for slot in fitting if slot.producer is None]
        for slot in (*theirs, *free):
            return slot
        if self._wings.places(source):
            return self._wings
        raise PublishRefused("floor_full")

    def offer(self, participant: Participant, *, restart: bool) -> str:
        """Return our offer of the stage: of a new connection, or with `restart` of the same one,
        its keys kept and its ICE renewed.
        """
        self._leave_elsewhere(participant)
        if isinstance(participant.subscribe, PlayerTransport):
            restart = False
        if participant.subscribe is not None and not restart:
            participant.subscribe.close()
        if participant.subscribe is None:
            transport = SubscribeTransport(
                self._wiring,
                self._state_of(participant),
                participant.id,
                self.places,
                on_ready=lambda: transport.aim(self._programme),
                on_quality=lambda told: self._tell("quality", {"participant": participant.id, "slots": told}),
            )
            transport.id = next(_ids)
            participant.subscribe = transport
            restart = False
        return participant.subscribe.offer(restart=restart)

    def play(self, participant: Participant, sdp: str, *, picture: str) -> tuple[str, int]:
        """Answer the offer of a program that plays the class: the teacher's `picture` (camera or screen)
        first, and their voice. It takes the place of what the participant watched on before.

        Returns the answer and the connection's id. Raises SdpError.
        """
        offer = parse(sdp)
        wanted = [one for one in self.places if one.place.stage == "instructor"]
        wanted.sort(key=lambda one: one.place.source != picture)
        transport = PlayerTransport(
            self._wiring,
            self._state_of(participant),
            participant.id,
            wanted,
            on_ready=lambda: transport.aim(self._programme),
        )
        transport.id = next(_ids)
        try:
            answer = transport.take(offer)
        except BaseException:
            transport.close()
            raise
        if participant.subscribe is not None:
            participant.subscribe.close()
        self._leave_elsewhere(participant)
        participant.subscribe = transport
        return answer, transport.id

    def accept(self, participant: Participant, sdp: str) -> None:
        """Take the answer to our offer. Raises SdpError, NewPeerCertificate."""
        answer = parse(sdp)
        if participant.subscribe is None:
            raise SdpError("nothing was offered, or the connection is gone: ask for an offer again")
        participant.subscribe.accept(answer)

    def mute(self, participant: Participant, source: str, *, muted: bool) -> None:
        """Stop or resume forwarding what somebody sends of a source, as long as they send it: what begins
        after that is heard.
        """
        for producer in participant.producers():
            if producer.source == source:
                producer.pause(paused=muted)
        self._announce()

    def _state_of(self, participant: Participant) -> Callable[[Transport, str], None]:
        def changed(transport: Transport, state: str) -> None:
            kind = "subscribe" if isinstance(transport, SubscribeTransport) else "publish"
            if participant.encoder is transport:
                kind = "encoder"
            if state == "closed":
                self._closed(participant, transport)
            self._tell(
                "transport",
                {"participant": participant.id, "id": transport.id, "kind": kind, "state": state},
            )

        return changed

    def _closed(self, participant: Participant, transport: Transport) -> None:
        if isinstance(transport, PublishTransport):
            self._publishing.pop(transport, None)
            for mid in list(transport.producers):
                transport.remove(mid)
        if participant.publish is transport:
            participant.publish = None
        elif participant.encoder is transport:
            participant.encoder = None
        elif participant.subscribe is transport:
            participant.subscribe = None
        self._announce()

    # The fan-out

    def _aim(self) -> None:
        """The stage has changed: decide anew what each viewer is sent."""
        self._programme = programme(self.places, self._speaking, time.monotonic())
        for participant in self.participants.values():
            if participant.subscribe is not None:
                participant.subscribe.aim(self._programme)

    def view(
        self, participant: Participant, sizes: Mapping[str, int], limit: int | None, pinned: str | None
    ) -> None:
        """Take how high, in pixels, a page shows each place, the most it is to be sent, and what first."""
        if participant.subscribe is not None:
            participant.subscribe.show(sizes, limit, pinned)

    def _announce(self) -> None:
        """Aim anew, and tell of the stage, when it looks different."""
        slots = self.slots()
        if slots != self._told:
            self._told = slots
            self._aim()
            self._tell("slots", {"slots": slots})
        self._show()

    def _show(self) -> None:
        """Tell the other workers what stands on the stage."""
        for pipe in self.pipes.values():
            pipe.show(self._speaking)

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
            for slot in self.places
        ]

    # Time

    def tick(self, now: float) -> None:
        """Once a second: reports, consent, what is sent to whom."""
        self._programme = programme(self.places, self._speaking, now)
        seconds, self._ticked_at = now - self._ticked_at, now
        shows = bool(self._programme.pictures or self._programme.voices)
        for participant in list(self.participants.values()):
            for publisher in participant.publishers():
                publisher.tick(now)
            watcher = participant.subscribe
            if watcher is not None:
                watcher.follow(self._programme, now)
                if shows and watcher.connected and not participant.staff:
                    watched = min(seconds, now - watcher.connected_at)
                    self.viewing.note(watched, is_reduced=watcher.is_reduced, loss=watcher.loss)
        for pipe in self.pipes.values():
            pipe.tick()
        for slot in self.places:
            if slot.producer is not None and len(slot.producer.layers) > 1:
                self._rest(slot, slot.producer, now)
        for producer in self._wings.waiting:
            self._note_watched(producer, (), now)

    def _rest(self, slot: Slot, producer: Producer, now: float) -> None:
        watched = {strand.layer for n, strand in enumerate(slot.strands) if self._is_watched(slot, n)}
        self._note_watched(producer, watched, now)

    def _is_watched(self, slot: Slot, quality: int) -> bool:
        """Say whether anybody watches a quality, or would if its sender had room for it: that comes again by
        itself. Put to rest it would be woken, not come, and rest again.
        """
        layer = slot.strands[quality].layer
        if slot.strands[quality].is_watched or layer is None or not layer.left_out:
            return slot.strands[quality].is_watched
        watchers = [one.subscribe for one in self.participants.values() if one.subscribe is not None]
        return any(one.would_watch(slot, quality) for one in watchers)

    def _came_on(self, producers: Sequence[Producer]) -> None:
        """What rested while nobody saw it is sent again; until it comes, the poorest quality is shown."""
        for producer in producers:
            if len(producer.layers) > 1:
                self._tell_awake(producer)
        self._announce()

    def _tell_awake(self, producer: Producer) -> None:
        awake = [layer.rid for layer in producer.layers if not layer.resting]
        self._tell("layers", {"participant": producer.owner, "source": producer.source, "awake": awake})

    def _note_watched(self, producer: Producer, watched: Container[Layer | None], now: float) -> None:
        """Let the sender rest the qualities nobody watches; the poorest is always there for who comes."""
        changed = [layer.note_watched(now, watched=layer in watched) for layer in producer.layers[1:]]
        if any(changed):
            self._tell_awake(producer)

    def tick_fast(self, now: float) -> None:
        """Every 20 ms: ask again for what is missing."""
        for publisher in self._publishing:
            publisher.tick_fast(now)
        if now - self._compared_at >= _SECONDS_BETWEEN_LOOKS:
            self._compared_at = now
            changed = [publisher.compare(now) for publisher in self._publishing]
            if any(changed):
                self._aim()
                self._show()
        self._wings.tick(now)
        if now - self._heard_at >= _SECONDS_BETWEEN_LEVELS:
            self._heard_at = now
            self._listen(now)

    def _listen(self, now: float) -> None:
        self._wings.cast(now)
        levels: dict[str, int | None] = {}
        for slot in self.places:
            producer = slot.producer
            if slot.place.kind == "audio" and producer is not None:
                levels[producer.owner] = None if producer.paused else producer.voice.level
                producer.voice.level = None
        speaking = self._speakers.note(levels, now)
        if speaking != self._speaking:
            self._speaking = speaking
            self._tell("speakers", {"speaking": speaking})
            self._show()
