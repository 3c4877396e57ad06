-- KEYS: stream, leases, lock, since. ARGV: own group or '', lease in ms, lock in ms, maxlen, age in ms or -1, a snapshot's key, a
-- publish's key, the revocations' key, the prefix of all keys.
-- Returns { state, pending, age of the oldest pending in ms, lag, groups, reaped, why nothing can be written or '', the rights
-- that are missing or '' }; -1 is unknown.
-- Whatever Redis refuses (a replica, no memory) leaves out that part only.
local stream, leases, own = KEYS[1], KEYS[2], ARGV[1]
local head, log, producers = ARGV[9] .. ':ds:head:', ARGV[9] .. ':ds:log:', ARGV[9] .. ':ds:producers:'
local expiry, life, wake = ARGV[9] .. ':ds:expiry', ARGV[9] .. ':ds:life', ARGV[9] .. ':wake'
local needs = {
  { 'xadd', stream, 'XADD', stream, '*', 'a', 'b' },
  { 'xreadgroup', stream, 'XREADGROUP', 'GROUP', 'g', 'reader', 'STREAMS', stream, '>' },
  { 'xread', stream, 'XREAD', 'STREAMS', stream, '0' },
  { 'xack', stream, 'XACK', stream, 'g', '0-1' },
  { 'xrange', stream, 'XRANGE', stream, '-', '+' },
  { 'xrevrange', stream, 'XREVRANGE', stream, '+', '-' },
  { 'xinfo|stream', stream, 'XINFO', 'STREAM', stream },
  { 'xinfo|groups', stream, 'XINFO', 'GROUPS', stream },
  { 'xgroup|create', stream, 'XGROUP', 'CREATE', stream, 'g', '0' },
  { 'xgroup|destroy', stream, 'XGROUP', 'DESTROY', stream, 'g' },
  { 'xpending', stream, 'XPENDING', stream, 'g' },
  { 'xtrim', stream, 'XTRIM', stream, 'MAXLEN', '1' },
  { 'zadd', leases, 'ZADD', leases, '1', 'g' },
  { 'zscore', leases, 'ZSCORE', leases, 'g' },
  { 'zrem', leases, 'ZREM', leases, 'g' },
  { 'zremrangebyscore', leases, 'ZREMRANGEBYSCORE', leases, '0', '1' },
  { 'set', KEYS[3], 'SET', KEYS[3], '1' },
  { 'set', ARGV[6], 'SET', ARGV[6], '1' },
  { 'get', ARGV[6], 'GET', ARGV[6] },
  { 'set', ARGV[7], 'SET', ARGV[7], '1' },
  { 'get', ARGV[7], 'GET', ARGV[7] },
  { 'set', ARGV[8], 'SET', ARGV[8], '1' },
  { 'get', ARGV[8], 'GET', ARGV[8] },
  { 'evalsha', head, 'EVALSHA', '', '1', head },
  { 'info', 'the server', 'INFO', 'replication' },
  { 'hmget', head, 'HMGET', head, 'n' },
  { 'hset', head, 'HSET', head, 'n', '1' },
  { 'unlink', head, 'UNLINK', head },
  { 'xadd', log, 'XADD', log, '1-0', 'd', '' },
  { 'xrange', log, 'XRANGE', log, '-', '+' },
  { 'unlink', log, 'UNLINK', log },
  { 'hset', producers, 'HSET', producers, 'p', '1' },
  { 'hlen', producers, 'HLEN', producers },
  { 'hrandfield', producers, 'HRANDFIELD', producers, '1' },
  { 'hdel', producers, 'HDEL', producers, 'p' },
  { 'zadd', expiry, 'ZADD', expiry, '1', 's' },
  { 'zrem', expiry, 'ZREM', expiry, 's' },
  { 'zrangebyscore', expiry, 'ZRANGEBYSCORE', expiry, '0', '1' },
  { 'hset', life, 'HSET', life, 'newest', '1' },
  { 'xadd', wake, 'XADD', wake, '*', 's', '' },
  { 'xread', wake, 'XREAD', 'STREAMS', wake, '0' },
  { 'xrevrange', wake, 'XREVRANGE', wake, '+', '-' },
}
local missing = {}
for _, need in ipairs(needs) do
  if lacks(unpack(need, 3)) then missing[#missing + 1] = '+' .. need[1] .. ' on ' .. need[2] end
end

local now, lease = now_ms(), tonumber(ARGV[2])

if own ~= '' then redis.pcall('ZADD', leases, now, own) end

-- After a time in which nobody could write a lease everybody looks dead, until all have had their turn.
local judges = false
local function judge()
  local grace = 3 * tonumber(ARGV[3])
  local since = redis.pcall('GET', KEYS[4])
  if type(since) ~= 'string' then since = string.format('%.0f', now) end
  local kept = redis.pcall('SET', KEYS[4], since, 'PX', 2 * grace)
  judges = type(kept) == 'table' and kept.ok ~= nil and now - tonumber(since) > grace
end

local function reap(group)
  local stamp = redis.pcall('ZSCORE', leases, group)
  -- Without leases nobody can tell the living from the dead.
  if lacks('ZADD', leases, '1', group) then return 0 end
  if not stamp then
    -- Without a lease it may belong to somebody who is just joining.
    redis.pcall('ZADD', leases, now, group)
    return 0
  end
  if type(stamp) == 'table' or now - tonumber(stamp) <= lease or not judges then return 0 end
  local destroyed = redis.pcall('XGROUP', 'DESTROY', stream, group)
  if type(destroyed) == 'table' then return 0 end
  redis.pcall('ZREM', leases, group)
  return destroyed
end

local locked = redis.pcall('SET', KEYS[3], '1', 'NX', 'PX', ARGV[3])
local janitor = type(locked) == 'table' and locked.ok ~= nil
local refused = type(locked) == 'table' and locked.err or ''
if lacks('SET', KEYS[3], '1') then refused = '' end
if janitor then
  judge()
  -- LIMIT 0 lifts the default limit of a call, which a fast producer outruns.
  redis.pcall('XTRIM', stream, 'MAXLEN', '~', ARGV[4], 'LIMIT', 0)
  if ARGV[5] ~= '-1' then
    redis.pcall('XTRIM', stream, 'MINID', string.format('%.0f', math.max(0, now - tonumber(ARGV[5]))))
  end
end

local count, lag, reaped = 0, -1, 0
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if not groups.err then
  for _, info in ipairs(groups) do
    local field = {}
    for i = 1, #info, 2 do field[info[i]] = info[i + 1] end
    local name = field['name']
    if string.sub(name, 1, 5) == 'weir:' then
      count = count + 1
      if name == own then
        lag = field['lag'] or -1
      elseif janitor then
        reaped = reaped + reap(name)
      end
    end
  end
end
-- Leases whose groups are gone.
if judges then redis.pcall('ZREMRANGEBYSCORE', leases, '-inf', now - lease - 1) end

local pending, oldest = -1, -1
if own ~= '' then
  local summary = redis.pcall('XPENDING', stream, own)
  if not summary.err then pending = summary[1] end
  if pending > 0 then
    local entry = redis.pcall('XPENDING', stream, own, '-', '+', 1)
    if not entry.err and entry[1] then oldest = entry[1][3] end
  end
end

local state, failed = stream_state(stream)
if not state then return failed end
return { state, pending, oldest, lag, count - reaped, reaped, refused, table.concat(missing, ', ') }
