#!lua name=liveserver_seats
-- The seat ledger of one live session: who may be in the class now. One script is the only door.
--
-- Promise: occupied (reserved, offered, seated, in grace) never passes max by an admission; a seat is
-- freed exactly once; a call with an old fence changes nothing; time without a server evicts nobody.
--
-- KEYS  1 m   hash    epoch runid status max lease grace resv offer wait stall now seq ended rev
--       2 z   zset    student -> expiry ms           (every occupied seat)
--       3 i   hash    student -> {st f slot conn node hb t0}   hb last renewal, t0 since when seated
--       4 q   zset    student -> ticket number       (waiting, first come first served)
--       5 qx  zset    student -> keep-alive expiry ms
--       6 f   zset    free slot numbers
--       7 ev  stream  what happened: the outbox attendance is folded from
--       8 ban set     students who may not come back
--       9 st  zset    staff -> expiry ms             (staff take no seat)
--      10 si  hash    staff -> the same, slot 0
-- ARGV  1 epoch of the caller, then the arguments named at each function.
--
-- A seat's st: R reserved by a join, O offered from the waitlist, S seated, G in grace.
-- Every answer is a list whose first member is a word. REBUILD <why>: the data is gone or from another
-- run of the store; STALE_EPOCH <current>: the caller speaks of an earlier start.

local K = {}
local meta = {}
local now = 0

local function bind(keys)
  local names = { 'm', 'z', 'i', 'q', 'qx', 'f', 'ev', 'ban', 'st', 'si' }
  for n, name in ipairs(names) do K[name] = keys[n] end
  K.clock = keys[11] -- tests only
end

local function wall_clock()
  --[[CLOCK]] local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) --[[/CLOCK]]
end

local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end

local function load_meta()
  meta = {}
  local flat = redis.call('HGETALL', K.m)
  for n = 1, #flat, 2 do meta[flat[n]] = flat[n + 1] end
end

local function number(name) return tonumber(meta[name]) end

local function set(name, value)
  meta[name] = tostring(value)
  redis.call('HSET', K.m, name, meta[name])
end

local function next_fence()
  set('seq', number('seq') + 1)
  return number('seq')
end

-- While rev stands, seat_look answers everybody as before: who polls need not ask.
local function revise()
  set('rev', (number('rev') or 0) + 1)
end

local function emit(event, user, seat, at, extra)
  redis.call('XADD', K.ev, '*', 'e', event, 'ep', meta.epoch, 'u', user, 'f', seat.f,
    'slot', seat.slot or 0, 'conn', seat.conn, 'node', seat.node, 'at', at, 'x', extra or '')
  revise()
end

-- The two books: students hold seats, staff are only leased.
local function seats_book() return { z = K.z, i = K.i, staff = false } end
local function staff_book() return { z = K.st, i = K.si, staff = true } end

local function get(book, user)
  local raw = redis.call('HGET', book.i, user)
  return raw and cjson.decode(raw) or nil
end

local function put(book, user, seat, expiry)
  redis.call('HSET', book.i, user, cjson.encode(seat))
  redis.call('ZADD', book.z, expiry, user)
end

local function find(user)
  local book = seats_book()
  local seat = get(book, user)
  if seat then return book, seat end
  book = staff_book()
  return book, get(book, user)
end

local function free(book, user, seat, event, at, extra)
  redis.call('HDEL', book.i, user)
  redis.call('ZREM', book.z, user)
  if not book.staff and seat.slot <= number('max') then redis.call('ZADD', K.f, seat.slot, seat.slot) end
  emit(event, user, seat, at, extra)
end

local function reserve(user, state, hold, event)
  if redis.call('ZCARD', K.z) >= number('max') then return nil end
  local popped = redis.call('ZPOPMIN', K.f)
  if #popped == 0 then return nil end
  local seat = { st = state, f = next_fence(), slot = tonumber(popped[1]), conn = '', node = '', hb = now }
  put(seats_book(), user, seat, now + hold)
  emit(event, user, seat, now)
  return seat
end

local function unqueue(user)
  redis.call('ZREM', K.qx, user)
  local was_waiting = redis.call('ZREM', K.q, user) == 1
  if was_waiting then revise() end
  return was_waiting
end

local function promote()
  if meta.status ~= 'live' then return end
  while redis.call('ZCARD', K.z) < number('max') do
    local first = redis.call('ZRANGE', K.q, 0, 0)[1]
    if not first then return end
    unqueue(first)
    if not reserve(first, 'O', number('offer'), 'offered') then return end
  end
end

-- A long silence (the store paused, every server dead, a clock jump) must not evict anybody.
local function forgive(gap)
  for _, key in ipairs({ K.z, K.qx, K.st }) do
    local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for n = 1, #all, 2 do redis.call('ZADD', key, tonumber(all[n + 1]) + gap, all[n]) end
  end
  revise()
end

local function expire(book)
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', book.z, '-inf', now)) do
    local seat = get(book, user)
    -- Who was seated was last known present at the last renewal, not now.
    free(book, user, seat, 'expired', seat.st == 'S' and seat.hb or now, seat.st)
  end
end

-- Every function begins here. Returns an answer when the call must go no further.
local function enter(keys, args)
  bind(keys)
  load_meta()
  if not meta.epoch then return { 'REBUILD', 'nometa' } end
  if meta.runid ~= run_id() then return { 'REBUILD', 'restarted' } end
  if meta.epoch ~= args[1] then return { 'STALE_EPOCH', meta.epoch } end
  now = math.max(wall_clock(), number('now')) -- time never runs backwards
  local gap = now - number('now')
  if gap > number('stall') then forgive(gap) end
  set('now', now)
  expire(seats_book())
  expire(staff_book())
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', K.qx, '-inf', now)) do unqueue(user) end
  promote()
  return nil
end

local function closed() return { meta.status == 'ended' and 'ENDED' or 'NOT_LIVE' } end

-- seat_init epoch status max lease grace resv offer wait stall [banned user ...]   (durations in ms)
-- Starts (status live) or rebuilds (status rebuild). OK now | STALE_EPOCH current
local function init(keys, args)
  bind(keys)
  load_meta()
  if meta.epoch and tonumber(meta.epoch) >= tonumber(args[1]) then return { 'STALE_EPOCH', meta.epoch } end
  redis.call('DEL', K.m, K.z, K.i, K.q, K.qx, K.f, K.ban, K.st, K.si)
  meta = {}
  now = wall_clock()
  local names = { 'epoch', 'status', 'max', 'lease', 'grace', 'resv', 'offer', 'wait', 'stall' }
  for n, name in ipairs(names) do set(name, args[n]) end
  set('runid', run_id())
  set('now', now)
  set('seq', 0)
  for slot = 1, number('max') do redis.call('ZADD', K.f, slot, slot) end
  for n = #names + 1, #args do redis.call('SADD', K.ban, args[n]) end
  return { 'OK', tostring(now) }
end

-- seat_join epoch user role wait(0|1)
-- RESERVED slot fence | HAVE slot fence st | STAFF | WAIT position | FULL | BANNED | ENDED | NOT_LIVE
local function join(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  local user, role, wait = args[2], args[3], args[4]
  if meta.status ~= 'live' then return closed() end
  if redis.call('SISMEMBER', K.ban, user) == 1 then return { 'BANNED' } end
  if role == 'staff' then return { 'STAFF' } end
  local seat = get(seats_book(), user)
  if seat then
    if seat.st == 'R' or seat.st == 'O' then
      seat.st = 'R'
      put(seats_book(), user, seat, now + number('resv'))
      revise()
    end
    return { 'HAVE', seat.slot, seat.f, seat.st }
  end
  seat = reserve(user, 'R', number('resv'), 'reserved')
  if seat then
    unqueue(user)
    return { 'RESERVED', seat.slot, seat.f }
  end
  if wait ~= '1' then return { 'FULL' } end
  if not redis.call('ZSCORE', K.q, user) then
    redis.call('ZADD', K.q, next_fence(), user)
    revise()
  end
  redis.call('ZADD', K.qx, now + number('wait'), user)
  return { 'WAIT', redis.call('ZRANK', K.q, user) + 1 }
end

-- seat_confirm epoch user conn node role
-- The only way to media. SEATED slot fence before(R|O|S|G|N) superseded-conn | GONE | BANNED | ENDED | NOT_LIVE
local function confirm(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  local user, conn, node, role = args[2], args[3], args[4], args[5]
  if meta.status ~= 'live' then return closed() end
  if redis.call('SISMEMBER', K.ban, user) == 1 then return { 'BANNED' } end
  local book = role == 'staff' and staff_book() or seats_book()
  local seat = get(book, user)
  if not seat then
    if not book.staff then return { 'GONE' } end
    seat = { st = 'N', slot = 0, conn = '', node = '' }
  end
  if seat.st == 'S' and seat.conn == conn then return { 'SEATED', seat.slot, seat.f, 'S', '' } end
  local before, superseded = seat.st, seat.conn
  if before ~= 'S' then seat.t0 = now end
  seat.st, seat.conn, seat.node, seat.f, seat.hb = 'S', conn, node, next_fence(), now
  put(book, user, seat, now + number('lease'))
  emit(before == 'S' and 'takeover' or 'seated', user, seat, now, book.staff and 'staff' or 'student')
  return { 'SEATED', seat.slot, seat.f, before, before == 'S' and superseded or '' }
end

-- seat_renew epoch (user fence)*    at most 100 pairs a call
-- OK status lost-user*: the caller must close the sockets and media of the lost
local function renew(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  local answer = { 'OK', meta.status }
  for n = 2, #args, 2 do
    local book, seat = find(args[n])
    if meta.status ~= 'ended' and seat and seat.st == 'S' and tostring(seat.f) == args[n + 1] then
      seat.hb = now
      put(book, args[n], seat, now + number('lease'))
    else
      answer[#answer + 1] = args[n]
    end
  end
  return answer
end

-- seat_drop epoch user fence ago      ago: ms since the last packet heard of the user
-- The link is lost: the seat is kept for the grace from that packet on. GRACE slot | NOOP
local function drop(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  local user = args[2]
  local book, seat = find(user)
  if not seat or seat.st ~= 'S' or tostring(seat.f) ~= args[3] then return { 'NOOP' } end
  local at = math.max(seat.t0, now - math.max(0, tonumber(args[4])))
  seat.st, seat.hb = 'G', at
  emit('dropped', user, seat, at)
  put(book, user, seat, at + number('grace'))
  return { 'GRACE', seat.slot }
end

-- seat_leave epoch user fence(or *)     LEFT fence | LEFT_QUEUE | NOOP
local function leave(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  local user = args[2]
  if unqueue(user) then return { 'LEFT_QUEUE' } end
  local book, seat = find(user)
  if not seat or (args[3] ~= '*' and tostring(seat.f) ~= args[3]) then return { 'NOOP' } end
  free(book, user, seat, 'left', now, seat.st)
  promote()
  return { 'LEFT', seat.f }
end

-- seat_kick epoch user ban(0|1)      KICKED fence | NOOP
local function kick(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  local user = args[2]
  if args[3] == '1' then redis.call('SADD', K.ban, user) end
  unqueue(user)
  local book, seat = find(user)
  if not seat then return { 'NOOP' } end
  free(book, user, seat, args[3] == '1' and 'banned' or 'kicked', now, seat.st)
  promote()
  return { 'KICKED', seat.f }
end

-- seat_max epoch n     raising adds slots and promotes; lowering evicts nobody. OK occupied n
local function set_max(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  if meta.status == 'ended' then return closed() end
  local wanted = tonumber(args[2])
  set('max', wanted)
  revise()
  local used = {}
  for _, raw in ipairs(redis.call('HVALS', K.i)) do used[cjson.decode(raw).slot] = true end
  redis.call('DEL', K.f)
  for slot = 1, wanted do
    if not used[slot] then redis.call('ZADD', K.f, slot, slot) end
  end
  promote()
  return { 'OK', redis.call('ZCARD', K.z), wanted }
end

-- seat_end epoch     frees everybody; again: the first end's time. OK ended-ms
local function finish(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  if meta.status == 'ended' then return { 'OK', meta.ended } end
  for _, book in ipairs({ seats_book(), staff_book() }) do
    for _, user in ipairs(redis.call('ZRANGE', book.z, 0, -1)) do
      local seat = get(book, user)
      free(book, user, seat, 'ended', now, seat.st)
    end
  end
  set('status', 'ended')
  revise()
  set('ended', now)
  redis.call('DEL', K.q, K.qx, K.f)
  for _, key in ipairs({ K.m, K.ban, K.ev }) do redis.call('PEXPIRE', key, 86400000) end
  return { 'OK', meta.ended }
end

-- seat_assert epoch user conn node role slot     during a rebuild: who really is connected keeps the seat
-- SEATED slot fence | CONFLICT | BANNED | LATE
local function assert_seat(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  local user, conn, node, role, slot = args[2], args[3], args[4], args[5], tonumber(args[6])
  if meta.status ~= 'rebuild' then return { 'LATE' } end
  if redis.call('SISMEMBER', K.ban, user) == 1 then return { 'BANNED' } end
  local book = role == 'staff' and staff_book() or seats_book()
  local seat = get(book, user)
  if seat then return { 'SEATED', seat.slot, seat.f } end
  if not book.staff and redis.call('ZREM', K.f, slot) == 0 then return { 'CONFLICT' } end
  seat = { st = 'S', f = next_fence(), slot = slot, conn = conn, node = node, hb = now, t0 = now }
  put(book, user, seat, now + number('lease'))
  emit('asserted', user, seat, now, role)
  return { 'SEATED', seat.slot, seat.f }
end

-- seat_open epoch     ends a rebuild: admissions again. OK
local function open(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  if meta.status == 'rebuild' then
    set('status', 'live')
    revise()
  end
  promote()
  return { 'OK' }
end

-- seat_sweep epoch     what every call does first, alone. OK status occupied max waiting free staff
local function sweep(keys, args)
  local stop = enter(keys, args)
  if stop then return stop end
  return { 'OK', meta.status, redis.call('ZCARD', K.z), number('max'), redis.call('ZCARD', K.q),
    redis.call('ZCARD', K.f), redis.call('ZCARD', K.st) }
end

-- seat_look epoch user     changes nothing. OK status occupied max waiting st-or-empty expiry-or-position rev
local function look(keys, args)
  bind(keys)
  load_meta()
  if not meta.epoch then return { 'REBUILD', 'nometa' } end
  if meta.epoch ~= args[1] then return { 'STALE_EPOCH', meta.epoch } end
  local answer = { 'OK', meta.status, redis.call('ZCARD', K.z), number('max'), redis.call('ZCARD', K.q), '', '0',
    meta.rev or '0' }
  local user = args[2]
  local book, seat = find(user)
  if seat then
    answer[6] = seat.st
    answer[7] = tostring(redis.call('ZSCORE', book.z, user))
  else
    local rank = redis.call('ZRANK', K.q, user)
    if rank then
      answer[6] = 'W'
      answer[7] = tostring(rank + 1)
    end
  end
  return answer
end

-- seat_members epoch     changes nothing. OK (user st slot)* of students and staff; staff have slot 0
local function members(keys, args)
  bind(keys)
  load_meta()
  if not meta.epoch then return { 'REBUILD', 'nometa' } end
  if meta.epoch ~= args[1] then return { 'STALE_EPOCH', meta.epoch } end
  local answer = { 'OK' }
  for _, key in ipairs({ K.i, K.si }) do
    local flat = redis.call('HGETALL', key)
    for n = 1, #flat, 2 do
      local seat = cjson.decode(flat[n + 1])
      answer[#answer + 1] = flat[n]
      answer[#answer + 1] = seat.st
      answer[#answer + 1] = seat.slot
    end
  end
  return answer
end

redis.register_function('seat_init', init)
redis.register_function('seat_join', join)
redis.register_function('seat_confirm', confirm)
redis.register_function('seat_renew', renew)
redis.register_function('seat_drop', drop)
redis.register_function('seat_leave', leave)
redis.register_function('seat_kick', kick)
redis.register_function('seat_max', set_max)
redis.register_function('seat_end', finish)
redis.register_function('seat_assert', assert_seat)
redis.register_function('seat_open', open)
redis.register_function('seat_sweep', sweep)
redis.register_function { function_name = 'seat_look', callback = look, flags = { 'no-writes' } }
redis.register_function { function_name = 'seat_members', callback = members, flags = { 'no-writes' } }
