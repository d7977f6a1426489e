"""The deeds of a confirmed socket: one method per event, each answered.

Who a member is was checked when they entered and is checked again each renewal; what a member may do
stands in the first line of each method.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from liveserver.errors import Forbidden, NotFound, TokenInvalid
from liveserver.models.ids import UserId
from liveserver.services import Services
from liveserver.services.classroom import require_staff
from signaling import events
from signaling.members import Member, Members
from signaling.rooms import Rooms, asked

Reply = dict[str, Any]
Deed = Callable[["ClassroomDoor", Member, Any], Awaitable[Reply]]


class ClassroomDoor:
    """What members ask for, done by services and the media worker of their class."""

    def __init__(self, services: Services, rooms: Rooms, members: Members) -> None:
        self._services = services
        self._rooms = rooms
        self._members = members

    async def publish(self, member: Member, payload: events.Publish) -> Reply:
        """Answer an offer. Sections the member may not send are answered inactive and named."""
        worker = await self._rooms.worker(member.room)
        result = await asked(worker.publish(member.room, member.name, payload.sdp, payload.sources))
        return {"sdp": result["sdp"], "id": result["id"], "refused": result["refused"]}

    async def subscribe(self, member: Member, payload: events.Subscribe) -> Reply:
        """Offer the stage."""
        worker = await self._rooms.worker(member.room)
        result = await asked(worker.subscribe(member.room, member.name, restart=payload.restart))
        return {"sdp": result["sdp"], "id": result["id"], **await self.relays(member)}

    async def relays(self, member: Member, _payload: events.Nothing | None = None) -> Reply:
        """Tell of the operator's TURN server."""
        return {"iceServers": [asdict(one) for one in self._services.relays.of(member.seat.user_id)]}

    async def answer(self, member: Member, payload: events.Answer) -> Reply:
        await asked((await self._rooms.worker(member.room)).answer(member.room, member.name, payload.sdp))
        return {}

    async def view(self, member: Member, payload: events.View) -> Reply:
        """Be sent no more than is seen, nor than one wants to spend, and first what one looks at."""
        worker = await self._rooms.worker(member.room)
        await asked(
            worker.view(member.room, member.name, payload.sizes, limit=payload.limit, pinned=payload.pinned)
        )
        return {}

    async def pause(self, member: Member, payload: events.Pause) -> Reply:
        """Stop or resume sending one's own source."""
        worker = await self._rooms.worker(member.room)
        await asked(worker.mute(member.room, member.name, payload.source, muted=payload.paused))
        return {}

    async def say(self, member: Member, payload: events.Say) -> Reply:
        message = await self._services.classroom.say(member.seat, member.user, payload.text)
        return {"message": message}

    async def hand(self, member: Member, payload: events.Hand) -> Reply:
        await self._services.classroom.raise_hand(member.seat, member.user, up=payload.up)
        return {}

    async def give_floor(self, member: Member, payload: events.GiveFloor) -> Reply:
        """Let a student be seen and heard; refused with floor_full when too many are."""
        require_staff(member.seat)
        target = UserId(payload.user_id)
        if target in member.session.staff:
            raise Forbidden
        worker = await self._rooms.worker(member.room)
        await asked(worker.grant(member.room, str(target), payload.sources))
        await self._services.classroom.give_floor(member.seat, target, payload.sources)
        return {}

    async def take_floor(self, member: Member, payload: events.Somebody) -> Reply:
        """Stop forwarding a student at once; staff, or the student themselves."""
        target = UserId(payload.user_id)
        require_staff(member.seat, or_self=target)
        worker = await self._rooms.worker(member.room)
        await asked(worker.revoke(member.room, str(target), ["camera", "microphone"]))
        await self._services.classroom.take_floor(member.seat, target)
        return {}

    async def mute(self, member: Member, payload: events.Mute) -> Reply:
        """Mute somebody; they may unmute themselves while they have the floor."""
        require_staff(member.seat)
        worker = await self._rooms.worker(member.room)
        await asked(worker.mute(member.room, str(payload.user_id), payload.source, muted=True))
        await self._services.classroom.told_to_mute(member.seat, UserId(payload.user_id), payload.source)
        return {}

    async def put_out(self, member: Member, payload: events.PutOut) -> Reply:
        require_staff(member.seat)
        if payload.user_id == member.seat.user_id:
            raise NotFound
        await self._services.classroom.put_out(
            member.seat, member.user, UserId(payload.user_id), ban=payload.ban
        )
        return {}

    async def leave(self, member: Member, _payload: events.Nothing) -> Reply:
        """Give the seat up; what follows on the bus closes the socket."""
        await self._services.seats.leave(member.user, member.seat.session_id)
        return {}

    async def renew_access(self, member: Member, payload: events.Renewal) -> Reply:
        """Go on with a fresh access token of the same account."""
        login = await self._services.accounts.authenticate(payload.access_token)
        if login.user.id != member.seat.user_id:
            raise TokenInvalid
        member.family = str(login.family)
        member.warned = False
        return {}


EVENTS: dict[str, tuple[type[events.Payload], Deed]] = {
    "media.relays": (events.Nothing, ClassroomDoor.relays),
    "media.publish": (events.Publish, ClassroomDoor.publish),
    "media.subscribe": (events.Subscribe, ClassroomDoor.subscribe),
    "media.answer": (events.Answer, ClassroomDoor.answer),
    "media.view": (events.View, ClassroomDoor.view),
    "media.pause": (events.Pause, ClassroomDoor.pause),
    "chat.say": (events.Say, ClassroomDoor.say),
    "hand.raise": (events.Hand, ClassroomDoor.hand),
    "floor.give": (events.GiveFloor, ClassroomDoor.give_floor),
    "floor.take": (events.Somebody, ClassroomDoor.take_floor),
    "mute": (events.Mute, ClassroomDoor.mute),
    "seat.kick": (events.PutOut, ClassroomDoor.put_out),
    "seat.leave": (events.Nothing, ClassroomDoor.leave),
    "auth.refresh": (events.Renewal, ClassroomDoor.renew_access),
}
