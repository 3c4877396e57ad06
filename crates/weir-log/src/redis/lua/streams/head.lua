-- What every script of the durable streams begins with. ARGV: prefix of all keys, ...
-- A stream is three keys. `<prefix>:ds:head:<name>` is a hash:
--   n chunks ever appended, e the newest epoch, b the epochs before that as `epoch:last n` joined by spaces, born,
--   t content type, k its essence, l lifetime (`idle <secs>`, `until <ms>`), lt the time as it was given, x when it ends,
--   c closed (`1`, or `1 <epoch> <seq> <producer>`), q newest Stream-Seq, z bytes of the largest chunk, w when announced,
--   f `<n> <depth> <source>` of a fork, fu its units, fi whether its lifetime is its source's, r how many forks it has,
--   g that it is gone but for them.
-- `<prefix>:ds:log:<name>` is a stream with an entry `<n>-0 d <bytes>` for each chunk, `<prefix>:ds:producers:<name>` a hash
-- of `<epoch> <seq> <when>`.
local PREFIX = ARGV[1]

local function key_of(kind, name)
  return PREFIX .. ':ds:' .. kind .. ':' .. name
end

local function digits(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Within a script Redis refuses for lack of memory, or as a replica, only the first write. What the user may not do is found
-- before that.
local function may(command, key, ...)
  if lacks(command, key, ...) then error(no_right(string.lower(command), key)) end
end

-- Some fields of a head, by name; nil where there is none.
local function head_of(key, ...)
  local names, head = { 'n', 'x', 'g', 'r', ... }, {}
  local got = redis.call('HMGET', key, unpack(names))
  if not got[1] then return nil end
  for place, name in ipairs(names) do head[name] = got[place] or nil end
  head.n = tonumber(head.n)
  return head
end

-- Why a stream is not there for anybody; nil where it is.
local function absence(head, now)
  if not head then return 'missing' end
  if head.g or head.x and tonumber(head.x) <= now then
    return tonumber(head.r or 0) > 0 and 'deleted' or 'missing'
  end
end

-- The epoch of a place.
local function epoch_at(head, n)
  if n == 0 then return '0' end
  for epoch, last in string.gmatch(head.b or '', '(%d+):(%d+)') do
    if n <= tonumber(last) then return epoch end
  end
  return head.e
end

-- Where a fork begins, how deep it lies, and its source; 0, 0 and nil of a stream that is none.
local function fork_of(head)
  local n, depth, source = string.match(head.f or '', '^(%d+) (%d+) (.+)$')
  return tonumber(n or 0), tonumber(depth or 0), source
end

-- A stream as it is told. It needs the fields e, b, c, t, l, lt and born.
local function told(head)
  return {
    head.n, head.e, head.b or '', head.c and 1 or 0, head.born, head.t, head.l or '', head.lt or '',
  }
end

-- When a stream that is used now ends, and whether that is so much later that it has to be written down.
local function renewed(head, now)
  local secs = string.match(head.l or '', '^idle (%d+)$')
  if not secs then return nil, false end
  local ends = now + tonumber(secs) * 1000
  local step = math.max(10, math.min(1000, math.floor(tonumber(secs) * 50)))
  return digits(ends), ends >= tonumber(head.x or 0) + step
end

-- Keeps a stream of idle lifetime alive that is read. Where Redis takes no writes it is read all the same. One time takes the
-- place of another, so that no room is needed: Redis lets a script without memory go on that began with a write which needs none.
local function renew(head_key, expiry, name, head, now)
  local ends, due = renewed(head, now)
  if due then
    redis.pcall('ZREM', expiry, '')
    redis.pcall('HSET', head_key, 'x', ends)
    redis.pcall('ZADD', expiry, ends, name)
  end
end
