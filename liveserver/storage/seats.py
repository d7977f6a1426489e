"""The seat ledger in Redis: seats.lua, typed.

Keys of one session share a cluster slot by hash tag. Nothing but the script touches them, except the
reading and trimming of the event stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import redis.asyncio
import redis.exceptions

from liveserver.errors import SeatsUnavailable
from liveserver.models.ids import LiveSessionId, UserId

SCRIPT = Path(__file__).with_name("seats.lua")
_PARTS = ("m", "z", "i", "q", "qx", "f", "ev", "ban", "st", "si")
_RENEWED_PER_CALL = 100

Answer = list[str]


class SeatsLost(Exception):
    """The ledger has no data of this session, or of another run of the store: it must be rebuilt."""


class StaleEpoch(Exception):
    """The session was started or rebuilt since; `current` is the ledger's epoch."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the ledger is at epoch {current}")
        self.current = current


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Every duration of the protocol, in milliseconds."""

    lease: int
    grace: int
    reservation: int
    offer: int
    wait: int
    stall: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatEvent:
    """One line of the ledger's stream: the outbox of attendance."""

    stream_id: str
    event: str
    epoch: int
    user_id: UserId
    fence: int
    slot: int
    at: datetime
    extra: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    status: str
    occupied: int
    maximum: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The totals, and one person's state letter (or empty) with its expiry in ms or their place in line.

    `revision` changes whenever anything of it changes for anybody.
    """

    totals: Totals
    state: str
    number: float
    revision: str


def keys_of(session_id: LiveSessionId) -> list[str]:
    return [f"seat:{{ls:{session_id}}}:{part}" for part in _PARTS]


def from_milliseconds(value: str | float) -> datetime:
    return datetime.fromtimestamp(float(value) / 1000, UTC)


class SeatLedger:
    """Calls the script. Raises SeatsUnavailable when the store is away: a join then fails closed."""

    def __init__(self, client: redis.asyncio.Redis, durations: Durations) -> None:
        self._redis = client
        self._durations = durations

    async def load(self, source: str | None = None) -> None:
        """Load the function library; every process does so at its start."""
        await self._redis.function_load(source or SCRIPT.read_text(encoding="utf-8"), replace=True)

    async def check_policy(self) -> str | None:
        """Return why the store must not keep seats, or None: eviction would free them in silence."""
        answer = await self._redis.config_get("maxmemory-policy")
        policy = answer.get("maxmemory-policy")
        if policy != "noeviction":
            return f"redis has maxmemory-policy {policy}; seats need noeviction"
        return None

    async def init(
        self,
        session_id: LiveSessionId,
        epoch: int,
        *,
        maximum: int,
        banned: Sequence[UserId],
        rebuild: bool = False,
    ) -> bool:
        """Start a session's ledger. False when the ledger is at this epoch or a later one."""
        d = self._durations
        answer = await self._call(
            "seat_init",
            session_id,
            epoch,
            "rebuild" if rebuild else "live",
            maximum,
            *(d.lease, d.grace, d.reservation, d.offer, d.wait, d.stall),
            *map(str, banned),
            stale_is_answer=True,
        )
        return answer[0] == "OK"

    async def join(self, session_id: LiveSessionId, epoch: int, user_id: UserId, *, staff: bool) -> Answer:
        return await self._call("seat_join", session_id, epoch, user_id, "staff" if staff else "student", 0)

    async def confirm(
        self,
        session_id: LiveSessionId,
        epoch: int,
        user_id: UserId,
        *,
        conn: str,
        node: str,
        staff: bool,
    ) -> Answer:
        role = "staff" if staff else "student"
        return await self._call("seat_confirm", session_id, epoch, user_id, conn, node, role)

    async def renew(
        self, session_id: LiveSessionId, epoch: int, held: Sequence[tuple[UserId, int]]
    ) -> set[UserId]:
        """Renew the leases of (user, fence) pairs; return the users whose seat is lost."""
        lost: set[UserId] = set()
        for start in range(0, len(held), _RENEWED_PER_CALL):
            chunk = held[start : start + _RENEWED_PER_CALL]
            flat = [part for user, fence in chunk for part in (user, fence)]
            answer = await self._call("seat_renew", session_id, epoch, *flat)
            lost.update(UserId(UUID(user)) for user in answer[2:])
        return lost

    async def drop(
        self, session_id: LiveSessionId, epoch: int, user_id: UserId, fence: int, ago: int
    ) -> bool:
        """Put a seat in grace, counted from `ago` milliseconds before now. False: not the newest."""
        answer = await self._call("seat_drop", session_id, epoch, user_id, fence, ago)
        return answer[0] == "GRACE"

    async def leave(
        self, session_id: LiveSessionId, epoch: int, user_id: UserId, fence: int | None = None
    ) -> int | None:
        """Free a seat, with a fence only if it is the newest; return its fence, None without one."""
        answer = await self._call("seat_leave", session_id, epoch, user_id, "*" if fence is None else fence)
        return int(answer[1]) if answer[0] == "LEFT" else None

    async def kick(self, session_id: LiveSessionId, epoch: int, user_id: UserId, *, ban: bool) -> int | None:
        """Free a seat and with `ban` for good; return its fence, None without one."""
        answer = await self._call("seat_kick", session_id, epoch, user_id, int(ban))
        return int(answer[1]) if answer[0] == "KICKED" else None

    async def set_maximum(self, session_id: LiveSessionId, epoch: int, maximum: int) -> None:
        await self._call("seat_max", session_id, epoch, maximum)

    async def end(self, session_id: LiveSessionId, epoch: int) -> datetime:
        """Free everybody; return when it ended, at every call the first time."""
        answer = await self._call("seat_end", session_id, epoch)
        return from_milliseconds(answer[1])

    async def reassert(
        self,
        session_id: LiveSessionId,
        epoch: int,
        user_id: UserId,
        *,
        conn: str,
        node: str,
        staff: bool,
        slot: int,
    ) -> Answer:
        role = "staff" if staff else "student"
        return await self._call("seat_assert", session_id, epoch, user_id, conn, node, role, slot)

    async def open(self, session_id: LiveSessionId, epoch: int) -> None:
        await self._call("seat_open", session_id, epoch)

    async def sweep(self, session_id: LiveSessionId, epoch: int) -> Totals:
        """Let time act: expire, then promote. Part of the protocol: each second, every live session."""
        answer = await self._call("seat_sweep", session_id, epoch)
        return Totals(
            status=answer[1],
            occupied=int(answer[2]),
            maximum=int(answer[3]),
            waiting=int(answer[4]),
        )

    async def look(self, session_id: LiveSessionId, epoch: int, user_id: UserId) -> Look:
        answer = await self._call("seat_look", session_id, epoch, user_id, read=True)
        totals = Totals(
            status=answer[1],
            occupied=int(answer[2]),
            maximum=int(answer[3]),
            waiting=int(answer[4]),
        )
        revision = f"{epoch}.{answer[7]}"
        return Look(totals=totals, state=answer[5], number=float(answer[6]), revision=revision)

    async def members(self, session_id: LiveSessionId, epoch: int) -> dict[UserId, tuple[str, int]]:
        """Return state letter and slot of everybody who is in; staff have slot 0."""
        answer = await self._call("seat_members", session_id, epoch, read=True)
        return {
            UserId(UUID(answer[n])): (answer[n + 1], int(answer[n + 2])) for n in range(1, len(answer), 3)
        }

    async def events(self, session_id: LiveSessionId) -> list[SeatEvent]:
        """Return what the stream holds, oldest first: what was not folded and trimmed yet."""
        try:
            entries: Any = await self._redis.xrange(keys_of(session_id)[6])
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error
        return [_event(stream_id, fields) for stream_id, fields in entries]

    async def trim(self, session_id: LiveSessionId, through: str) -> None:
        """Forget the events up to and with `through`, after they were committed elsewhere."""
        milliseconds, _, sequence = through.partition("-")
        try:
            await self._redis.xtrim(
                keys_of(session_id)[6],
                minid=f"{milliseconds}-{int(sequence) + 1}",
                approximate=False,
            )
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error

    async def forget(self, session_id: LiveSessionId) -> None:
        """Delete every key of an ended session whose attendance is final."""
        try:
            await self._redis.delete(*keys_of(session_id))
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error

    async def _call(
        self,
        function: str,
        session_id: LiveSessionId,
        epoch: int,
        *arguments: object,
        read: bool = False,
        stale_is_answer: bool = False,
    ) -> Answer:
        keys = keys_of(session_id)
        call = self._redis.fcall_ro if read else self._redis.fcall
        try:
            raw = await call(function, len(keys), *keys, str(epoch), *map(str, arguments))
        except redis.exceptions.ResponseError as error:
            if "Function not found" in str(error):  # the store came back empty
                raise SeatsLost from error
            raise SeatsUnavailable(retryAfter=2) from error
        except (redis.exceptions.RedisError, OSError) as error:
            raise SeatsUnavailable(retryAfter=2) from error
        answer = [str(part) for part in raw]
        if answer[0] == "REBUILD":
            raise SeatsLost(answer[1])
        if answer[0] == "STALE_EPOCH" and not stale_is_answer:
            raise StaleEpoch(int(answer[1]))
        return answer


def _event(stream_id: str, fields: dict[str, str]) -> SeatEvent:
    return SeatEvent(
        stream_id=stream_id,
        event=fields["e"],
        epoch=int(fields["ep"]),
        user_id=UserId(UUID(fields["u"])),
        fence=int(float(fields["f"])),
        slot=int(float(fields["slot"])),
        at=from_milliseconds(fields["at"]),
        extra=fields["x"],
    )
