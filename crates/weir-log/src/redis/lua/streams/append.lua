-- KEYS: head, log, producers, expiry, wake, life.
-- ARGV: prefix, name, what (`d` data, `s` a sequence, `p` a producer, `c` close), data, essence of its type, sequence, producer,
-- its epoch, its seq, most chunks (0: no bound), ms between announcements, most producers, ms that they are remembered, most lives,
-- ms of silence before a producer makes room.
-- Returns the outcome with its numbers. The order of the checks is that of the core's rules.
local name, what = ARGV[2], ARGV[3]
local function has(letter) return string.find(what, letter, 1, true) ~= nil end
local data, close, producer = has('d'), has('c'), has('p')
local now = now_ms()
local head = head_of(KEYS[1], 'e', 'b', 'k', 'c', 'q', 'z', 'w', 'l')
local absent = absence(head, now)
if absent then return { absent } end

local function tail() return head.n, epoch_at(head, head.n) end

local epoch, seq = tonumber(ARGV[8]), tonumber(ARGV[9])
local seen
if producer then
  local stored = redis.call('HMGET', KEYS[3], ARGV[7])[1]
  if stored then
    local words = {}
    for word in string.gmatch(stored, '%d+') do words[#words + 1] = tonumber(word) end
    if now - words[3] <= tonumber(ARGV[13]) then seen = { epoch = words[1], seq = words[2] } end
  end
end

local function repeated(newest)
  local n, at = tail()
  renew(KEYS[1], KEYS[4], name, head, now)
  return { 'duplicate', digits(newest), n, at, head.c and 1 or 0 }
end

if head.c then
  local n, at = tail()
  if not producer then
    if data then return { 'closed', n, at } end
    renew(KEYS[1], KEYS[4], name, head, now)
    return { 'written', n, at, 1, -1, now }
  end
  if head.c == '1 ' .. ARGV[8] .. ' ' .. ARGV[9] .. ' ' .. ARGV[7] then return repeated(seq) end
  if seen and epoch < seen.epoch then return { 'stale', digits(seen.epoch) } end
  return { 'closed', n, at }
end
if data and ARGV[5] ~= head.k then return { 'media' } end
if producer then
  if not seen then
    if seq ~= 0 then return { 'gap', '0', ARGV[9] } end
  elseif epoch < seen.epoch then
    return { 'stale', digits(seen.epoch) }
  elseif epoch > seen.epoch then
    if seq ~= 0 then return { 'begins' } end
  elseif seq <= seen.seq then
    return repeated(seen.seq)
  elseif seq ~= seen.seq + 1 then
    return { 'gap', digits(seen.seq + 1), ARGV[9] }
  end
end
-- `<` of Lua goes by the locale of the server, which need not be the order of bytes.
local function rises(old, new)
  for place = 1, math.min(#old, #new) do
    local one, two = string.byte(old, place), string.byte(new, place)
    if one ~= two then return two > one end
  end
  return #new > #old
end
if data and has('s') and head.q and not rises(head.q, ARGV[6]) then return { 'seq' } end

local ends, due = renewed(head, now)
local wait = tonumber(head.w or 0) + tonumber(ARGV[11]) - now
-- A clock that went back must not silence a stream.
local announce = wait <= 0 or wait > tonumber(ARGV[11])
may('HSET', KEYS[1], 'n', '1')
if data then may('XADD', KEYS[2], '1-0', 'd', '') end
if producer then may('HSET', KEYS[3], 'p', '1') end
local pushed_out
if producer and not seen then
  may('HLEN', KEYS[3])
  if redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[12]) then
    may('HRANDFIELD', KEYS[3], '1')
    may('HDEL', KEYS[3], 'p')
    -- Of some, the one that was silent for longest makes room. One that lives does not: its next repeat would be written again.
    local some, when = redis.call('HRANDFIELD', KEYS[3], 64, 'WITHVALUES'), nil
    for place = 1, #some, 2 do
      local at = tonumber(string.match(some[place + 1], '%d+$'))
      if not when or at < when then pushed_out, when = some[place], at end
    end
    if now - when < tonumber(ARGV[15]) then return { 'crowded' } end
  end
end
if due then may('ZADD', KEYS[4], '1', name) end

-- What Redis refuses it refuses at the first write. What fails behind that, as where rights cannot be asked for, is told apart.
local has_written = false
local function write(...)
  if has_written then
    local done = redis.pcall(...)
    if type(done) == 'table' and done.err then error('PARTLY ' .. done.err) end
  else
    redis.call(...)
    has_written = true
  end
end

local set = { 'HSET', KEYS[1] }
local function put(field, value)
  set[#set + 1] = field
  set[#set + 1] = value
end
if data then
  local life = life_of(KEYS[6], now)
  if life.is_new then
    may('HSET', KEYS[6], 'newest', '1')
    keep_life(life)
  end
  if life.began > tonumber(head.e) then
    local last = string.match(head.b or '', ':(%d+)$')
    if head.n > tonumber(last or 0) then
      head.b = bounded((head.b and head.b .. ' ' or '') .. head.e .. ':' .. digits(head.n), tonumber(ARGV[14]))
      put('b', head.b)
    end
    head.e = digits(life.began)
    put('e', head.e)
  end
  head.n = head.n + 1
  local id = digits(head.n) .. '-0'
  if ARGV[10] == '0' then
    write('XADD', KEYS[2], id, 'd', ARGV[4])
  else
    write('XADD', KEYS[2], 'MAXLEN', ARGV[10], id, 'd', ARGV[4])
  end
  put('n', digits(head.n))
  if #ARGV[4] > tonumber(head.z or 0) then put('z', #ARGV[4]) end
  if has('s') then put('q', ARGV[6]) end
end
if close then put('c', producer and '1 ' .. ARGV[8] .. ' ' .. ARGV[9] .. ' ' .. ARGV[7] or '1') end
if ends then put('x', ends) end
if announce then put('w', digits(now)) end
if #set > 2 then write(unpack(set)) end
if due then write('ZADD', KEYS[4], ends, name) end
if pushed_out then write('HDEL', KEYS[3], pushed_out) end
if producer then write('HSET', KEYS[3], ARGV[7], ARGV[8] .. ' ' .. ARGV[9] .. ' ' .. digits(now)) end
if announce then wake(KEYS[5], name) end
return { 'written', head.n, epoch_at(head, head.n), close and 1 or 0, announce and -1 or wait, now }
