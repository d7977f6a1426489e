"""Ways to break the seat script by hand, each of which lets somebody in, out or twice."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """`first` is where a search begins: it finds this one soonest; any other finds it later."""

    name: str
    before: str
    after: str
    first: int = 0


MUTANTS = [
    Mutant(
        "no capacity check",
        "  if redis.call('ZCARD', K.z) >= number('max') then return nil end\n",
        "",
    ),
    Mutant("renew ignores the fence", "and tostring(seat.f) == args[n + 1] then", "then", first=5),
    Mutant(
        "expiry counts as presence until now",
        "seat.st == 'S' and seat.hb or now, seat.st)",
        "now, seat.st)",
        first=1,
    ),
    Mutant("no forgiveness for a stall", "if gap > number('stall') then forgive(gap) end", "", first=4),
    Mutant("a stall is forgiven to seats only", "{ K.z, K.qx, K.st }", "{ K.z }", first=7),
    Mutant("time runs backwards", "now = math.max(wall_clock(), number('now'))", "now = wall_clock()"),
    Mutant(
        "a freed slot is not returned",
        "number('max') then redis.call('ZADD', K.f, seat.slot, seat.slot) end\n  emit(event",
        "number('max') then end\n  emit(event",
    ),
    Mutant(
        "a drained slot is returned",
        "if not book.staff and seat.slot <= number('max') then",
        "if not book.staff then",
    ),
    Mutant(
        "last come first served",
        "redis.call('ZADD', K.q, next_fence(), user)",
        "redis.call('ZADD', K.q, -next_fence(), user)",
    ),
    Mutant(
        "a banned student confirms",
        "  if redis.call('SISMEMBER', K.ban, user) == 1 then return { 'BANNED' } end\n"
        "  local book = role == 'staff' and staff_book() or seats_book()\n"
        "  local seat = get(book, user)\n  if not seat then\n",
        "  local book = role == 'staff' and staff_book() or seats_book()\n"
        "  local seat = get(book, user)\n  if not seat then\n",
        first=3,
    ),
    Mutant(
        "an old tab's drop counts",
        "or seat.st ~= 'S' or tostring(seat.f) ~= args[3] then",
        "or seat.st ~= 'S' then",
        first=27,
    ),
    Mutant("a drop may reach before the stay", "math.max(seat.t0, now - ", "math.min(now, now - ", first=1),
    Mutant(
        "grace counts from now",
        "put(book, user, seat, at + number('grace'))",
        "put(book, user, seat, now + number('grace'))",
    ),
    Mutant(
        "an old tab's leave counts",
        "if not seat or (args[3] ~= '*' and tostring(seat.f) ~= args[3]) then",
        "if not seat then",
    ),
    Mutant("the end leaves the queue", "redis.call('DEL', K.q, K.qx, K.f)", "redis.call('DEL', K.f)"),
    Mutant(
        "an earlier epoch is heard",
        "if meta.epoch ~= args[1] then return { 'STALE_EPOCH', meta.epoch } end\n  now",
        "now",
    ),
    Mutant(
        "init starts a running class anew",
        "  if meta.epoch and tonumber(meta.epoch) >= tonumber(args[1]) then"
        " return { 'STALE_EPOCH', meta.epoch } end\n",
        "",
    ),
    Mutant(
        "a takeover keeps the old fence",
        "seat.st, seat.conn, seat.node, seat.f, seat.hb = 'S', conn, node, next_fence(), now",
        "seat.st, seat.conn, seat.node, seat.hb = 'S', conn, node, now\n"
        "  seat.f = before == 'S' and seat.f or next_fence()",
    ),
    Mutant(
        "dead waiters stay in the line",
        "user in ipairs(redis.call('ZRANGEBYSCORE', K.qx, '-inf', now)) do unqueue(user)",
        "user in ipairs({}) do unqueue(user)",
    ),
    Mutant(
        "an offer lasts as a reservation",
        "number('offer'), 'offered')",
        "number('resv'), 'offered')",
        first=11,
    ),
]
