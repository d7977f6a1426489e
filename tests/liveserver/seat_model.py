"""The seat protocol as a model in Python, and the machine that holds the script against it."""

import itertools
import json
import os
import re
from dataclasses import dataclass
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from liveserver.storage.seats import SCRIPT

LEASE, GRACE, RESERVATION, OFFER, WAIT, STALL = 15_000, 19_000, 20_000, 25_000, 30_000, 5_000
STUDENTS = [f"00000000-0000-7000-8000-00000000000{n}" for n in range(7)]
STAFF = [f"00000000-0000-7000-8000-0000000000f{n}" for n in range(2)]
PARTS = ("m", "z", "i", "q", "qx", "f", "ev", "ban", "st", "si", "clk")
_names = itertools.count()


def with_clock(source: str) -> str:
    """The script with its clock in a key, so that a test is the master of time."""
    replaced, count = re.subn(
        r"--\[\[CLOCK\]\].*?--\[\[/CLOCK\]\]",
        "return tonumber(redis.call('GET', K.clock))",
        source,
        flags=re.DOTALL,
    )
    assert count == 1
    return replaced


def script() -> str:
    return SCRIPT.read_text(encoding="utf-8")


@dataclass
class Held:
    """What the model knows of one place."""

    state: str
    expiry: int
    heartbeat: int
    since: int
    fence: int | None = None
    conn: str = ""


class SeatMachine(RuleBasedStateMachine):
    """Every operation in any order, time in any step; every answer and the keys compared each step."""

    client: redis.Redis

    @initialize(maximum=st.integers(0, 4))
    def start(self, maximum: int) -> None:
        name = f"model-{os.getpid()}-{next(_names)}"
        self.keys = [f"seat:{{ls:{name}}}:{part}" for part in PARTS]
        self.now = self.last = 10_000
        self._set_clock()
        durations = (LEASE, GRACE, RESERVATION, OFFER, WAIT, STALL)
        assert self.call("init", "live", maximum, *durations)[0] == "OK"
        self.maximum = maximum
        self.seats: dict[str, Held] = {}
        self.staff: dict[str, Held] = {}
        self.queue: list[str] = []
        self.keep_alive: dict[str, int] = {}
        self.banned: set[str] = set()
        self.ended = False
        self.fence = 0
        self.open: dict[str, int] = {}
        self.stays: list[tuple[str, int, int]] = []
        self.connections = itertools.count()
        self.revision: str | None = None
        self.looks: dict[str, list[str]] = {}

    def call(self, operation: str, *arguments: object, epoch: int = 1) -> list[str]:
        answer: Any = self.client.fcall(
            f"seat_{operation}", len(self.keys), *self.keys, str(epoch), *map(str, arguments)
        )
        return [str(part) for part in answer]

    def _set_clock(self) -> None:
        self.client.set(self.keys[10], self.now)

    # The model's own clockwork

    def _enter(self) -> int:
        now = max(self.now, self.last)
        gap = now - self.last
        if gap > STALL:
            for held in (*self.seats.values(), *self.staff.values()):
                held.expiry += gap
            for user in self.keep_alive:
                self.keep_alive[user] += gap
        self.last = now
        for book in (self.seats, self.staff):
            for user in [u for u, held in book.items() if held.expiry <= now]:
                held = book.pop(user)
                self._close(user, held.heartbeat)
        for user in [u for u in self.queue if self.keep_alive[u] <= now]:
            self._unqueue(user)
        self._promote()
        return now

    def _unqueue(self, user: str) -> bool:
        if user not in self.queue:
            return False
        self.queue.remove(user)
        del self.keep_alive[user]
        return True

    def _promote(self) -> None:
        while not self.ended and self.queue and len(self.seats) < self.maximum:
            user = self.queue[0]
            self._unqueue(user)
            self.seats[user] = Held("O", self.last + OFFER, self.last, 0)

    def _close(self, user: str, at: int) -> None:
        if user in self.open:
            self.stays.append((user, self.open.pop(user), at))

    def _find(self, user: str) -> tuple[dict[str, Held], Held | None]:
        if user in self.seats:
            return self.seats, self.seats[user]
        return self.staff, self.staff.get(user)

    # Time

    @rule(
        step=st.sampled_from([0, 1, 500, 1000, 4000, 5001, 9000, 16_000, 61_000, -3000]),
        times=st.integers(1, 3),
    )
    def tick(self, step: int, times: int) -> None:
        for _ in range(times):
            self.now += step
            self._sweep()

    @rule(times=st.integers(1, 14))
    def age(self, times: int) -> None:
        """Let leases run out by themselves: steps below the stall are not forgiven."""
        for _ in range(times):
            self.now += 4900
            self._sweep()

    def _sweep(self) -> None:
        self._set_clock()
        answer = self.call("sweep")
        self._enter()
        status = "ended" if self.ended else "live"
        assert answer[:4] == ["OK", status, str(len(self.seats)), str(self.maximum)]
        assert answer[4] == str(len(self.queue))
        assert answer[6] == str(len(self.staff))

    # Operations

    @rule(user=st.sampled_from(STUDENTS), wait=st.booleans())
    def join(self, user: str, wait: bool) -> None:
        answer = self.call("join", user, "student", int(wait))
        now = self._enter()
        if self.ended:
            assert answer == ["ENDED"]
        elif user in self.banned:
            assert answer == ["BANNED"]
        elif user in self.seats:
            held = self.seats[user]
            if held.state in "RO":
                held.state, held.expiry = "R", now + RESERVATION
            assert (answer[0], answer[3]) == ("HAVE", held.state)
        elif len(self.seats) < self.maximum:
            assert answer[0] == "RESERVED"
            self._unqueue(user)
            self.seats[user] = Held("R", now + RESERVATION, now, 0)
        elif wait:
            if user not in self.queue:
                self.queue.append(user)
            self.keep_alive[user] = now + WAIT
            assert answer == ["WAIT", str(self.queue.index(user) + 1)]
        else:
            assert answer == ["FULL"]

    @rule(user=st.sampled_from(STUDENTS + STAFF), again=st.booleans())
    def confirm(self, user: str, again: bool) -> None:
        staff = user in STAFF
        _, known = self._find(user)
        conn = known.conn if again and known and known.conn else f"c{next(self.connections)}"
        answer = self.call("confirm", user, conn, "node", "staff" if staff else "student")
        now = self._enter()
        book, held = self._find(user)
        if self.ended:
            assert answer == ["ENDED"]
        elif user in self.banned:
            assert answer == ["BANNED"]
        elif held is None and not staff:
            assert answer == ["GONE"]
        else:
            assert answer[0] == "SEATED"
            fence = int(answer[2])
            if held is None:
                held = book[user] = Held("N", 0, 0, 0)
            if held.state == "S" and held.conn == conn:
                assert fence == held.fence
                return
            assert fence > self.fence, "fences strictly increase"
            self.fence = fence
            assert answer[3] == held.state
            if held.state != "S":
                self.open[user] = held.since = now
            held.state, held.conn, held.fence = "S", conn, fence
            held.expiry, held.heartbeat = now + LEASE, now

    @rule(user=st.sampled_from(STUDENTS + STAFF), stale=st.booleans())
    def renew(self, user: str, stale: bool) -> None:
        fence = self._fence(user, stale=stale)
        answer = self.call("renew", user, fence)
        now = self._enter()
        _, held = self._find(user)
        good = held is not None and held.state == "S" and not stale and not self.ended
        assert (answer[2:] == []) == good, (answer, held)
        if held is not None and good:
            held.expiry, held.heartbeat = now + LEASE, now

    @rule(
        user=st.sampled_from(STUDENTS + STAFF),
        stale=st.booleans(),
        ago=st.sampled_from([0, 700, 9000, 14_000]),
    )
    def drop(self, user: str, stale: bool, ago: int) -> None:
        fence = self._fence(user, stale=stale)
        answer = self.call("drop", user, fence, ago)
        now = self._enter()
        _, held = self._find(user)
        if held is not None and held.state == "S" and not stale:
            assert answer[0] == "GRACE"
            at = max(held.since, now - ago)
            held.state, held.expiry, held.heartbeat = "G", at + GRACE, at
            self._close(user, at)
        else:
            assert answer == ["NOOP"]

    @rule(user=st.sampled_from(STUDENTS + STAFF), how=st.sampled_from(["any", "own", "stale"]))
    def leave(self, user: str, how: str) -> None:
        fence = "*" if how == "any" else str(self._fence(user, stale=how == "stale"))
        answer = self.call("leave", user, fence)
        now = self._enter()
        if self._unqueue(user):
            assert answer == ["LEFT_QUEUE"]
            return
        book, held = self._find(user)
        known = held is not None and (how == "any" or (how == "own" and str(held.fence) == fence))
        if known:
            assert answer[0] == "LEFT"
            del book[user]
            self._close(user, now)
            self._promote()
        else:
            assert answer == ["NOOP"]

    @rule(user=st.sampled_from(STUDENTS), ban=st.booleans())
    def kick(self, user: str, ban: bool) -> None:
        answer = self.call("kick", user, int(ban))
        now = self._enter()
        if ban:
            self.banned.add(user)
        self._unqueue(user)
        if user in self.seats:
            assert answer[0] == "KICKED"
            del self.seats[user]
            self._close(user, now)
        else:
            assert answer == ["NOOP"]
        self._promote()

    @rule(maximum=st.integers(0, 6))
    def set_maximum(self, maximum: int) -> None:
        answer = self.call("max", maximum)
        self._enter()
        if self.ended:
            assert answer == ["ENDED"]
            return
        self.maximum = maximum
        self._promote()
        assert answer == ["OK", str(len(self.seats)), str(maximum)]

    @rule(leaver=st.integers(0, 6), comer=st.sampled_from(STUDENTS))
    def drain(self, leaver: int, comer: str) -> None:
        """Lower the maximum under a full class: who leaves then makes no room."""
        for user in STUDENTS[:4]:
            self.join(user, wait=False)
        self.set_maximum(max(0, len(self.seats) - 1))
        if self.seats:
            self.leave(sorted(self.seats)[leaver % len(self.seats)], "any")
        self.join(comer, wait=False)

    @rule(
        who=st.integers(0, 6),
        before=st.integers(1, 2),
        ago=st.sampled_from([0, 9000]),
        after=st.integers(1, 4),
    )
    def vanish(self, who: int, before: int, ago: int, after: int) -> None:
        """Be there for a while, fall silent, be noticed late, and stay away for a while."""
        if not self.seats:
            return
        user = sorted(self.seats)[who % len(self.seats)]
        self.confirm(user, again=False)
        self.age(before)
        self.drop(user, stale=False, ago=ago)
        self.age(after)

    @rule(go=st.integers(0, 19))
    def end(self, go: int) -> None:
        if go:
            return
        for user in STUDENTS:  # somebody waits, if there is anything to wait for
            self.join(user, wait=True)
        first = self.call("end")
        now = self._enter()
        if not self.ended:
            assert first == ["OK", str(now)]
            for book in (self.seats, self.staff):
                for user in list(book):
                    self._close(user, now)
                book.clear()
            self.queue, self.keep_alive, self.ended = [], {}, True
        assert self.call("end") == first

    @rule(epoch=st.sampled_from([0, 2]), operation=st.sampled_from(["join", "confirm", "renew", "end"]))
    def stale_epoch(self, epoch: int, operation: str) -> None:
        """A caller of an earlier or a later start changes nothing."""
        assert self.call(operation, STUDENTS[0], "x", "y", "student", epoch=epoch) == ["STALE_EPOCH", "1"]

    @rule()
    def second_init(self) -> None:
        assert self.call("init", "live", 9, 1, 1, 1, 1, 1, 1) == ["STALE_EPOCH", "1"]

    def _fence(self, user: str, *, stale: bool) -> int:
        _, held = self._find(user)
        fence = held.fence if held and held.fence else 0
        return fence - 1 if stale else fence

    # What must hold after every step

    def _holds_its_revision(self) -> None:
        """While the revision stands, everybody who looks is answered as before."""
        everybody = (*STUDENTS, *STAFF)
        with self.client.pipeline(transaction=False) as pipeline:
            for user in everybody:
                pipeline.fcall_ro("seat_look", len(self.keys), *self.keys, "1", user)
            looks = {
                user: [*map(str, look)] for user, look in zip(everybody, pipeline.execute(), strict=True)
            }
        (revision,) = {look.pop() for look in looks.values()}
        for look in looks.values():
            if look[5] == "S":
                look[6] = ""  # a lease, which nobody is shown
        if revision == self.revision:
            assert looks == self.looks
        self.revision, self.looks = revision, looks

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "keys"):
            return
        read: Any = self.client
        seated = set(read.zrange(self.keys[1], 0, -1))
        info = {user: json.loads(raw) for user, raw in read.hgetall(self.keys[2]).items()}
        free = {int(slot) for slot in read.zrange(self.keys[5], 0, -1)}
        assert seated == set(self.seats) == set(info)
        assert {user: seat["st"] for user, seat in info.items()} == {
            user: held.state for user, held in self.seats.items()
        }
        self._holds_its_revision()
        assert read.zrange(self.keys[3], 0, -1) == self.queue
        assert not seated & set(self.queue)
        assert set(read.zrange(self.keys[8], 0, -1)) == set(self.staff)
        used = [seat["slot"] for seat in info.values()]
        assert len(set(used)) == len(used), "one slot, one student"
        if self.ended:
            assert not seated
            assert not self.queue
        else:
            assert free == set(range(1, self.maximum + 1)) - set(used), "no slot is lost or doubled"
            assert not self.queue or len(seated) >= self.maximum

    def teardown(self) -> None:
        """The stream, folded, gives the model's stays: no overlap, nothing lost."""
        if not hasattr(self, "keys"):
            return
        entries: Any = self.client.xrange(self.keys[6])
        opened: dict[str, int] = {}
        stays: list[tuple[str, int, int]] = []
        for _, fields in entries:
            event, user, at = fields["e"], fields["u"], int(float(fields["at"]))
            if event == "seated":
                assert user not in opened
                opened[user] = at
            elif event in {"dropped", "left", "kicked", "banned", "ended", "expired"} and user in opened:
                stays.append((user, opened.pop(user), at))
        assert sorted(stays) == sorted(self.stays)
        assert opened == self.open
        last: dict[str, int] = {}
        for user, begin, end in sorted(stays):
            assert last.get(user, 0) <= begin <= end
            last[user] = end
        self.client.delete(*self.keys)
