"""What a media worker is asked for: a method for each name of the control protocol."""

import itertools
import struct
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog

from media.channel import Channel
from media.mirror import Mirror
from media.participant import Participant
from media.pipe import HEAD
from media.room import SOURCES, FloorFull, Room
from media.rtcp import RtcpError
from media.spill import Spill
from media.transport import Wiring

_SECONDS_EMPTY = 60.0
_SECONDS_ORPHANED, _SECONDS_ORPHANED_FAR = 10.0, 30.0  # a connection between hosts may be back
_log = structlog.get_logger()


class Refused(Exception):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Orders:
    """Owns the rooms of a worker. `tell` sends an event to everybody who may ask for something; `owner` is
    the connection of who asks. Closed by the worker.
    """

    def __init__(
        self,
        wiring: Wiring,
        tell: Callable[[str, dict[str, Any]], None],
        *,
        most_viewers: int,
        neighbours: Sequence[str],
        secret: bytes,
        pace: Callable[[], dict[str, Any]],
    ) -> None:
        self._wiring = wiring
        self._tell_all = tell
        self._neighbours = neighbours
        self._pace = pace
        self._second = float("-inf")  # when the last one began
        self._rooms: dict[str, Room] = {}
        self._numbers = itertools.count(1)
        self._mirrors: dict[int, Mirror] = {}  # by number
        self._spill = Spill(
            most_viewers,
            secret,
            self._rooms,
            lambda room, name, facts: self._tell(room)(name, facts),
        )
        self._spill.know(neighbours)

    def close_rooms(self) -> None:
        for room in self._rooms.values():
            room.close()

    def close(self) -> None:
        self._spill.close()

    def tick(self, now: float) -> bool:
        """Every 20 ms or so: return whether there is a class to do that for."""
        second = now - self._second >= 1.0
        if second:
            self._second = now
        self._wiring.probes.tick(now)
        for name, room in list(self._rooms.items()):
            try:
                room.tick_fast(now)
                if second:
                    self._every_second(name, room, now)
            except Exception:  # one room's bug must not stop the clock of the others
                _log.exception("media.tick_failed", room=name)
        return bool(self._rooms)

    def _every_second(self, name: str, room: Room, now: float) -> None:
        room.tick(now)
        self._spill.tidy(name, room, now)
        for participant in list(room.participants.values()):
            far = isinstance(participant.owner, Channel) and participant.owner.keys is not None
            orphaned = _SECONDS_ORPHANED_FAR if far else _SECONDS_ORPHANED
            if participant.gone_at and now - participant.gone_at > orphaned:
                room.detach(participant.id)
        is_ours = not isinstance(room, Mirror)  # a mirror is ended by whose room it is
        if is_ours and not room.participants and now - room.empty_since > _SECONDS_EMPTY:
            self._end(room)

    def leave(self, owner: Channel) -> None:
        """A connection is gone: its mirrors end, its people may be answered for by another soon."""
        for mirror in [one for one in self._mirrors.values() if one.owner is owner]:
            self._end(mirror)
        for room in self._rooms.values():
            for participant in room.participants.values():
                if participant.owner is owner:
                    participant.gone_at = time.monotonic()

    def take(self, head: bytes, packets: Iterable[bytes]) -> None:
        """Take what came over a pipe."""
        try:
            number, mid, quality = HEAD.unpack(head)
            mirror = self._mirrors.get(number)
            if mirror is not None:
                mirror.take(mid, quality, packets)
        except (RtcpError, IndexError, struct.error):
            _log.exception("media.pipe")

    def _tell(self, room: str) -> Callable[[str, dict[str, Any]], None]:
        return lambda name, facts: self._tell_all(name, {"room": room, **facts})

    def _room(self, name: str, owner: object = None) -> Room:
        """Return a room, a new one if need be: a mirror is its own worker's, for others it is none."""
        found = self._rooms.get(name)
        if isinstance(found, Mirror) and owner is not found.owner:
            self._end(found)
            found = None
        if found is None:
            found = self._rooms[name] = Room(self._wiring, self._tell(name))
        return found

    def _end(self, room: Room) -> None:
        """Close a room and forget it."""
        room.close()
        for name in [name for name, one in self._rooms.items() if one is room]:
            del self._rooms[name]
        if isinstance(room, Mirror):
            del self._mirrors[room.number]

    # Rooms of other workers

    def mirror(self, owner: Channel, *, room: str) -> int:
        found = self._rooms.get(room)
        if isinstance(found, Mirror) and found.owner is owner:
            return found.number
        if found is not None and not isinstance(found, Mirror) and found.participants:
            raise Refused("invalid", "the room is ours")
        if found is not None:
            self._end(found)

        def tell(name: str, facts: dict[str, Any]) -> None:
            owner.write([0, name, {"room": room, **facts}])

        number = next(self._numbers) & 0xFFFF
        mirror = Mirror(
            self._wiring, tell, owner, number=number, ask=lambda data: tell("feedback", {"rtcp": data})
        )
        self._rooms[room] = self._mirrors[number] = mirror
        return number

    def show(
        self, owner: object, *, room: str, places: Sequence[dict[str, Any]], speaking: list[str]
    ) -> None:
        found = self._rooms.get(room)
        if isinstance(found, Mirror) and found.owner is owner:
            found.show(places, speaking)

    def _mirror_of(self, owner: object, room: str) -> Mirror:
        found = self._rooms.get(room)
        if not isinstance(found, Mirror) or found.owner is not owner:
            raise Refused("not_attached", "there is no mirror of that room")
        return found

    def mirrored(
        self, owner: object, *, room: str, participant: str, staff: bool, device: str, fence: int
    ) -> None:
        self._mirror_of(owner, room).attach(
            participant, staff=staff, owner=owner, device=device, fence=fence, floor=()
        )

    def leave_mirror(self, owner: object, *, room: str, participant: str) -> None:
        self._mirror_of(owner, room).detach(participant)

    def end_mirror(self, owner: object, *, room: str) -> None:
        self._end(self._mirror_of(owner, room))

    # What the web processes ask for

    def _participant(self, room: str, participant: str) -> tuple[Room, Participant]:
        found = self._rooms.get(room)
        if found is None or participant not in found.participants:
            raise Refused("not_attached", "nobody of that name is in the room")
        return found, found.participants[participant]

    def attach(
        self,
        owner: Channel,
        *,
        room: str,
        participant: str,
        staff: bool,
        device: str,
        fence: int,
        floor: Sequence[str],
    ) -> dict[str, Any]:
        joined = self._room(room, owner).attach(
            participant, staff=staff, owner=owner, device=device, fence=fence, floor=floor
        )
        return {
            "publish": joined.publish.id if joined.publish else None,
            "subscribe": joined.watches_on,
            "encoder": joined.encoder.id if joined.encoder else None,
        }

    def detach(self, _owner: object, *, room: str, participant: str, fence: int) -> None:
        found = self._rooms.get(room)
        if found is not None:
            someone = found.participants.get(participant)
            if someone is not None and someone.fence <= fence:
                found.detach(participant)

    def silent_for(
        self, _owner: object, *, room: str, participant: str
    ) -> float | Awaitable[float | None] | None:
        _, someone = self._participant(room, participant)
        here = someone.silent_for(time.monotonic())
        if someone.elsewhere is None:
            return here

        async def least() -> float | None:
            there = await self._spill.silent_for(room, someone)
            return min((one for one in (here, there) if one is not None), default=None)

        return least()

    def publish(
        self, _owner: object, *, room: str, participant: str, sdp: str, sources: dict[str, str]
    ) -> dict[str, Any]:
        place, someone = self._participant(room, participant)
        answer, refused = place.publish(someone, sdp, sources)
        number = someone.publish.id if someone.publish else None
        return {"id": number, "sdp": answer, "refused": refused}

    def encode(
        self, _owner: object, *, room: str, participant: str, sdp: str, picture: str, login: str
    ) -> dict[str, Any]:
        place, someone = self._participant(room, participant)
        answer, number = place.encode(someone, sdp, picture=picture, login=login)
        return {"id": number, "sdp": answer}

    def play(self, _owner: object, *, room: str, participant: str, sdp: str, picture: str) -> dict[str, Any]:
        place, someone = self._participant(room, participant)
        answer, number = place.play(someone, sdp, picture=picture)
        return {"id": number, "sdp": answer}

    def stop_playing(self, _owner: object, *, room: str, participant: str, id: int) -> None:  # noqa: A002 - the protocol's name
        _, someone = self._participant(room, participant)
        if someone.subscribe is not None and someone.subscribe.id == id:
            someone.subscribe.close()

    def stop_encoding(self, _owner: object, *, room: str, participant: str, id: int) -> None:  # noqa: A002 - the protocol's name
        place, someone = self._participant(room, participant)
        place.stop_encoding(someone, id)

    def subscribe(
        self, _owner: object, *, room: str, participant: str, restart: bool
    ) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        place, someone = self._participant(room, participant)
        if not isinstance(place, Mirror) and self._spill.is_for(place, someone):
            return self._spill.subscribe(room, place, someone, restart=restart)
        offer = place.offer(someone, restart=restart)
        return {"id": someone.subscribe.id if someone.subscribe else None, "sdp": offer}

    def answer(self, _owner: object, *, room: str, participant: str, sdp: str) -> Awaitable[None] | None:
        place, someone = self._participant(room, participant)
        if someone.elsewhere is not None:
            return self._spill.at(someone).answer(room, participant, sdp)
        place.accept(someone, sdp)
        return None

    def view(
        self,
        _owner: object,
        *,
        room: str,
        participant: str,
        sizes: dict[str, int],
        limit: int | None,
        pinned: str | None,
    ) -> Awaitable[None] | None:
        place, someone = self._participant(room, participant)
        if someone.elsewhere is not None:
            return self._spill.at(someone).view(room, participant, sizes, limit=limit, pinned=pinned)
        place.view(someone, sizes, limit, pinned)
        return None

    def grant(self, _owner: object, *, room: str, participant: str, sources: Sequence[str]) -> None:
        place, someone = self._participant(room, participant)
        if not set(sources) <= set(SOURCES):
            raise Refused("invalid", "a source is camera, microphone or screen")
        before = set(someone.granted)
        try:
            for source in sources:
                place.grant(someone, source)
        except FloorFull:
            for source in someone.granted - before:
                place.revoke(someone, source)
            raise

    def revoke(self, _owner: object, *, room: str, participant: str, sources: Sequence[str]) -> None:
        place, someone = self._participant(room, participant)
        for source in sources:
            place.revoke(someone, source)

    def mute(self, _owner: object, *, room: str, participant: str, source: str, muted: bool) -> None:
        place, someone = self._participant(room, participant)
        place.mute(someone, source, muted=muted)

    def close_room(self, _owner: object, *, room: str) -> dict[str, Any] | None:
        found = self._rooms.get(room)
        if found is None:
            return None
        self._end(found)
        return found.viewing.take()

    def viewing(self, _owner: object) -> dict[str, dict[str, Any]]:
        return {name: room.viewing.take() for name, room in self._rooms.items() if room.viewing.seconds}

    def slots(self, _owner: object, *, room: str) -> list[dict[str, Any]]:
        return self._room(room).slots()

    def occupants(self, _owner: object) -> dict[str, dict[str, int]]:
        return {
            name: {one.id: one.fence for one in room.participants.values()}
            for name, room in self._rooms.items()
            if not isinstance(room, Mirror)
        }

    def encoders(self, _owner: object) -> list[dict[str, Any]]:
        return [
            {"room": name, "participant": one.id, "id": one.encoder.id, "login": one.login}
            for name, room in self._rooms.items()
            for one in room.participants.values()
            if one.encoder is not None
        ]

    def hush(self, owner: Channel) -> None:
        """Another worker asks: of rooms that are not mirrors of its own it wants to hear nothing."""
        owner.hears_all = False

    def know(self, _owner: object, *, workers: Sequence[str]) -> None:
        self._spill.know([*self._neighbours, *workers])

    def stats(self, _owner: object) -> dict[str, Any]:
        mux = self._wiring.mux
        sender = mux.sender
        return {
            "rooms": len(self._rooms),
            "participants": sum(
                one.elsewhere is None for room in self._rooms.values() for one in room.participants.values()
            ),
            "mirrors": len(self._mirrors),
            "pipe_dropped": self._spill.dropped,
            "sent": sender.sent,
            "send_dropped": sender.dropped,
            "send_waited": sender.waited,
            "asked_again": mux.asked_again,
            "sent_again": mux.sent_again,
            "dropped": dict(mux.dropped),
            **self._pace(),
        }


METHODS: dict[str, Callable[..., Any]] = {
    method.__name__: method
    for method in (
        Orders.mirror,
        Orders.show,
        Orders.mirrored,
        Orders.leave_mirror,
        Orders.end_mirror,
        Orders.attach,
        Orders.detach,
        Orders.silent_for,
        Orders.publish,
        Orders.encode,
        Orders.stop_encoding,
        Orders.play,
        Orders.stop_playing,
        Orders.subscribe,
        Orders.answer,
        Orders.view,
        Orders.grant,
        Orders.revoke,
        Orders.mute,
        Orders.close_room,
        Orders.viewing,
        Orders.slots,
        Orders.occupants,
        Orders.encoders,
        Orders.hush,
        Orders.know,
        Orders.stats,
    )
}
