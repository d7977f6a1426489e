"""One media process: its loop, its two ports, its rooms, and the control socket it takes orders on."""

import asyncio
import contextlib
import gc
import inspect
import itertools
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from media.control import WorkerGone, WorkerRefused, pack, read
from media.dtls import Certificate
from media.mirror import Mirror
from media.mux import Mux
from media.participant import Participant
from media.pipe import HEAD, Inlet
from media.room import SOURCES, FloorFull, OlderEntrance, Room
from media.rtcp import RtcpError
from media.sdp import SdpError, candidates
from media.spill import Spill, pipe_path
from media.srtp import Protector, Unprotector
from media.tcp import TcpListener
from media.transport import NewPeerCertificate, Wiring

_SECONDS_EMPTY = 60.0
_SECONDS_ORPHANED = 10.0
_TICK, _LATE = 0.02, 0.02  # seconds between two ticks, and how late one is worth counting
_VERY_LATE = 0.1
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is told; addresses are those browsers are told to reach it at."""

    index: int
    host: str
    udp_port: int
    tcp_port: int
    public_address: str
    control: Path
    others: Sequence[Path] = ()  # the control sockets of the host's other workers
    most_viewers: int = 300  # of one room, before others are asked to carry some


class Refused(Exception):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Worker:
    """Owns everything of the process; closed by `run`."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._rooms: dict[str, Room] = {}
        self._owners: set[asyncio.StreamWriter] = set()
        self._ticks = self._late_ticks = 0
        self._worst_tick = 0.0
        self._numbers = itertools.count(1)
        self._mirrors: dict[int, Mirror] = {}  # by number
        self._asking: set[asyncio.Task[None]] = set()
        host = settings.host or _bound(settings.public_address)
        self._mux = Mux(host, settings.udp_port)
        self._tcp = TcpListener(self._mux)
        self._host = host
        self._wiring: Wiring | None = None
        self._spill = Spill(
            settings.others,
            settings.most_viewers,
            self._rooms,
            lambda room, name, facts: self._tell(room)(name, facts),
        )

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        await self._tcp.start(self._host, self._settings.tcp_port)
        addresses = advertised(self._settings.public_address, self._host)
        self._wiring = Wiring(
            mux=self._mux,
            certificate=Certificate(),
            protector=Protector(),
            unprotector=Unprotector(),
            candidates=candidates(addresses, self._mux.port, self._tcp.port),
            tag=f"w{self._settings.index}",
        )
        self._mux.start(loop)
        self._settings.control.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, str(self._settings.control))
        self._settings.control.chmod(0o600)
        inlet = Inlet(pipe_path(self._settings.control), self._piped)
        inlet.start(loop)
        self._spill.start()
        # What lives from here on is the rooms; the rest is never garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        _log.info("media.ready", addresses=addresses, udp=self._mux.port, tcp=self._tcp.port)
        ticking = asyncio.create_task(self._tick(), name="tick")
        try:
            await stop.wait()
        finally:
            ticking.cancel()
            server.close()
            inlet.close(loop)
            for room in self._rooms.values():
                room.close()
            await asyncio.sleep(0.05)  # let the goodbyes leave
            self._spill.close()
            for owner in self._owners:
                owner.close()
            await self._tcp.close()
            self._mux.close(loop)

    async def _tick(self) -> None:
        last_second = time.monotonic()
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            late = now - before - _TICK
            self._ticks += 1
            self._late_ticks += late > _LATE
            self._worst_tick = max(self._worst_tick, late)
            if late > _VERY_LATE:
                _log.warning("media.late_tick", seconds=round(late, 3))
            second = now - last_second >= 1.0
            if second:
                last_second = now
            for name, room in list(self._rooms.items()):
                try:
                    room.tick_fast(now)
                    if second:
                        self._every_second(name, room, now)
                except Exception:  # one room's bug must not stop the clock of the others
                    _log.exception("media.tick_failed", room=name)

    def _every_second(self, name: str, room: Room, now: float) -> None:
        room.tick(now)
        self._spill.tidy(name, room, now)
        for participant in list(room.participants.values()):
            if participant.gone_at and now - participant.gone_at > _SECONDS_ORPHANED:
                room.detach(participant.id)
        is_ours = not isinstance(room, Mirror)  # a mirror is ended by whose room it is
        if is_ours and not room.participants and now - room.empty_since > _SECONDS_EMPTY:
            self._end(room)

    # Control

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._owners.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, ValueError):
                while True:
                    number, method, arguments = await read(reader)
                    answer = self._answer(number, method, arguments, writer)
                    if isinstance(answer, Awaitable):
                        task = asyncio.create_task(self._answer_later(number, method, answer, writer))
                        self._asking.add(task)
                        task.add_done_callback(self._asking.discard)
                    else:
                        writer.write(pack(answer))
                    await writer.drain()
        finally:
            self._owners.discard(writer)
            writer.close()
            for mirror in [one for one in self._mirrors.values() if one.owner is writer]:
                self._end(mirror)
            for room in self._rooms.values():
                for participant in room.participants.values():
                    if participant.owner is writer:
                        participant.gone_at = time.monotonic()

    def _answer(
        self, number: int, method: str, arguments: dict[str, Any], owner: asyncio.StreamWriter
    ) -> list[Any] | Awaitable[Any]:
        """Do what is asked; what another worker is asked for is to be waited for."""
        call: Callable[..., Any] | None = _METHODS.get(method)
        if call is None:
            return [number, False, "invalid", f"there is no method {method}"]
        try:
            result = call(self, owner, **arguments)
        except Exception as error:
            return [number, False, *_refusal(error, method)]
        return result if inspect.isawaitable(result) else [number, True, result]

    async def _answer_later(
        self, number: int, method: str, result: Awaitable[Any], writer: asyncio.StreamWriter
    ) -> None:
        try:
            answer = [number, True, await result]
        except Exception as error:
            answer = [number, False, *_refusal(error, method)]
        _write(writer, pack(answer))

    def _tell(self, room: str) -> Callable[[str, dict[str, Any]], None]:
        def tell(name: str, facts: dict[str, Any]) -> None:
            data = pack([0, name, {"room": room, **facts}])
            for owner in self._owners:
                _write(owner, data)

        return tell

    def _room(self, name: str, owner: object = None) -> Room:
        """Return a room, a new one if need be: a mirror is its own worker's, for others it is none."""
        found = self._rooms.get(name)
        if isinstance(found, Mirror) and owner is not found.owner:
            self._end(found)
            found = None
        if found is None:
            assert self._wiring is not None  # noqa: S101 - set before the control socket opens
            found = self._rooms[name] = Room(self._wiring, self._tell(name))
        return found

    # Rooms of other workers

    def mirror(self, owner: asyncio.StreamWriter, *, room: str) -> int:
        found = self._rooms.get(room)
        if isinstance(found, Mirror) and found.owner is owner:
            return found.number
        if found is not None and not isinstance(found, Mirror) and found.participants:
            raise Refused("invalid", "the room is ours")
        if found is not None:
            self._end(found)
        assert self._wiring is not None  # noqa: S101 - set before the control socket opens

        def tell(name: str, facts: dict[str, Any]) -> None:
            _write(owner, pack([0, name, {"room": room, **facts}]))

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

    def _piped(self, message: bytes) -> None:
        try:
            number, mid, quality = HEAD.unpack_from(message)
            mirror = self._mirrors.get(number)
            if mirror is not None:
                mirror.take(mid, quality, message[HEAD.size :])
        except (RtcpError, IndexError, struct.error):
            _log.exception("media.pipe")

    def _end(self, room: Room) -> None:
        """Close a room and forget it."""
        room.close()
        for name in [name for name, one in self._rooms.items() if one is room]:
            del self._rooms[name]
        if isinstance(room, Mirror):
            del self._mirrors[room.number]

    # What the web processes ask for

    def _participant(self, room: str, participant: str) -> tuple[Room, Participant]:
        found = self._rooms.get(room)
        if found is None or participant not in found.participants:
            raise Refused("not_attached", "nobody of that name is in the room")
        return found, found.participants[participant]

    def attach(
        self,
        owner: asyncio.StreamWriter,
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
        self, _owner: object, *, room: str, participant: str, sizes: dict[str, int], limit: int | None
    ) -> Awaitable[None] | None:
        place, someone = self._participant(room, participant)
        if someone.elsewhere is not None:
            return self._spill.at(someone).view(room, participant, sizes, limit=limit)
        place.view(someone, sizes, limit)
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

    def stats(self, _owner: object) -> dict[str, Any]:
        sender = self._mux.sender
        return {
            "rooms": len(self._rooms),
            "participants": sum(
                one.elsewhere is None for room in self._rooms.values() for one in room.participants.values()
            ),
            "mirrors": len(self._mirrors),
            "pipe_dropped": self._spill.dropped,
            "sent": sender.sent,
            "send_dropped": sender.dropped,
            "asked_again": self._mux.asked_again,
            "sent_again": self._mux.sent_again,
            "dropped": dict(self._mux.dropped),
            "ticks": self._ticks,
            "late_ticks": self._late_ticks,  # by more than 20 ms
            "worst_tick_ms": round(1000 * self._worst_tick, 1),
        }


_METHODS: dict[str, Callable[..., Any]] = {
    method.__name__: method
    for method in (
        Worker.mirror,
        Worker.show,
        Worker.mirrored,
        Worker.leave_mirror,
        Worker.end_mirror,
        Worker.attach,
        Worker.detach,
        Worker.silent_for,
        Worker.publish,
        Worker.encode,
        Worker.stop_encoding,
        Worker.play,
        Worker.stop_playing,
        Worker.subscribe,
        Worker.answer,
        Worker.view,
        Worker.grant,
        Worker.revoke,
        Worker.mute,
        Worker.close_room,
        Worker.viewing,
        Worker.slots,
        Worker.occupants,
        Worker.encoders,
        Worker.stats,
    )
}


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write to a connection, unless it is gone: who clears up after it still speaks to it."""
    if not writer.is_closing():
        with contextlib.suppress(RuntimeError):  # uvloop's, of one that was just closed
            writer.write(data)


def _refusal(error: Exception, method: str) -> tuple[str, str]:
    """Return the code and the sentence of an answer that is none."""
    if isinstance(error, Refused | WorkerRefused):
        return error.code, error.sentence
    if isinstance(error, WorkerGone):
        return "not_attached", "the worker they watched at is gone: ask for an offer again"
    if isinstance(error, NewPeerCertificate):
        return "bad_sdp", "the certificate changed: open a new connection"
    if isinstance(error, SdpError):
        return "bad_sdp", str(error)
    if isinstance(error, OlderEntrance):
        return "superseded", "they have entered again since"
    if isinstance(error, FloorFull):
        return "floor_full", f"no place is left for {error}"
    _log.error("media.internal", method=method, exc_info=error)
    return "internal", "a bug in the worker"


def _bound(public_address: str) -> str:
    """Return every address, except where only this machine is meant to reach us.

    A wildcard socket answers a local peer from another address than it was asked at, and ICE refuses
    such an answer.
    """
    return public_address if public_address.startswith("127.") else "0.0.0.0"


def advertised(public_address: str, host: str) -> list[str]:
    """Return the addresses browsers are told: the configured one, else the default route's.

    Loopback stands beside the default route's for a browser on this machine.
    """
    if public_address:
        return [public_address]
    if host not in {"0.0.0.0", "::"}:
        return [host]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would be used
            address = str(probe.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    return list(dict.fromkeys([address, "127.0.0.1"]))


def main(settings: WorkerSettings) -> None:
    """Run a worker until SIGTERM or SIGINT."""

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await Worker(settings).run(stop)

    uvloop.run(work())
