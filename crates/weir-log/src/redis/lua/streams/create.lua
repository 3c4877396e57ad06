-- KEYS: head, log, producers, expiry, wake, life, and the head of the source where it is a fork.
-- ARGV: prefix, name, content type ('': not said), its essence, lifetime ('': not said; `forever`, `idle <secs>`, `until <ms>`), the
-- time as it was given, '1' closed, source ('': none), n ('': its end) and epoch of the offset, units, most depth, most lives,
-- 'd' and the first chunk or '', '', 'd' and a part of the source's or '', '', when the source of that part was born, most chunks.
local name, media, kind, lifetime = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local source, units = ARGV[8], ARGV[11]
local now = now_ms()
local head = head_of(KEYS[1], 'e', 'b', 'c', 't', 'k', 'l', 'lt', 'born', 'f', 'fu', 'fi')
local absent = absence(head, now)

local function is_alike()
  local n, _, of = fork_of(head)
  if (head.c and '1' or '0') ~= ARGV[7] or (of or '') ~= source then return false end
  local kept = head.l or 'forever'
  if source == '' then
    return head.k == (media == '' and 'application/octet-stream' or kind)
      and kept == (lifetime == '' and 'forever' or lifetime)
  end
  if (head.fu or '0') ~= units then return false end
  if ARGV[9] ~= '' and (tonumber(ARGV[9]) ~= n or epoch_at(head, n) ~= ARGV[10]) then return false end
  if media ~= '' and head.k ~= kind then return false end
  if lifetime == '' then return head.fi == '1' end
  return kept == lifetime
end
if not absent then
  if not is_alike() then return { 'exists' } end
  return { 'told', told(head) }
end
if absent == 'deleted' then return { 'taken' } end

local made = { n = 0, b = '', t = media, k = kind, l = lifetime, lt = ARGV[6] }
local begin, depth, asked = 0, 0, 0
if source ~= '' then
  local of = head_of(KEYS[7], 'e', 'b', 't', 'k', 'l', 'lt', 'born', 'f', 'z')
  local gone = absence(of, now)
  if gone then return { gone == 'missing' and 'no source' or 'source deleted' } end
  if media ~= '' and of.k ~= kind then return { 'media' } end
  depth = select(2, fork_of(of)) + 1
  if depth > tonumber(ARGV[12]) then return { 'deep' } end
  begin = ARGV[9] == '' and of.n or tonumber(ARGV[9])
  if begin > of.n then return { 'no offset' } end
  if ARGV[9] ~= '' and epoch_at(of, begin) ~= ARGV[10] or not is_kept(source, of, begin) then return { 'gone' } end
  if units ~= '0' then
    if begin == of.n then return { 'no units' } end
    if ARGV[16] ~= 'd' or ARGV[18] ~= of.born then
      return { 'part', begin, epoch_at(of, begin), of.born, of.t }
    end
  end
  if media == '' then made.t, made.k = of.t, of.k end
  if lifetime == '' then made.l, made.lt = of.l or 'forever', of.lt or '' end
  asked = tonumber(of.r or 0)
  made.n = begin
  local shared = {}
  for epoch, last in string.gmatch(of.b or '', '(%d+):(%d+)') do
    if tonumber(last) < begin then shared[#shared + 1] = epoch .. ':' .. last end
  end
  if begin > 0 then shared[#shared + 1] = epoch_at(of, begin) .. ':' .. digits(begin) end
  made.b = bounded(table.concat(shared, ' '), tonumber(ARGV[13]))
elseif media == '' then
  made.t, made.k = 'application/octet-stream', 'application/octet-stream'
end
if made.l == '' then made.l = 'forever' end

may('HSET', KEYS[1], 'n', '1')
may('HSET', KEYS[6], 'newest', '1')
may('XADD', KEYS[2], '1-0', 'd', '')
may('ZADD', KEYS[4], '1', name)
may_remove(KEYS[4], name)
if source ~= '' then may('HSET', KEYS[7], 'r', '1') end
local life = life_of(KEYS[6], now)
life.newest = math.max(life.newest + 1, now)
local ends = head and ends_of(name, head, now)
keep_life(life)
if ends then
  remove(KEYS[4], ends)
  if source ~= '' then asked = tonumber(redis.call('HMGET', KEYS[7], 'r')[1] or 0) end
else
  -- What stands there without a head was left by somebody else.
  redis.call('UNLINK', KEYS[2], KEYS[3])
end

local largest = 0
local function add(chunk)
  made.n = made.n + 1
  largest = math.max(largest, #chunk)
  local id = digits(made.n) .. '-0'
  if ARGV[19] == '0' then
    redis.call('XADD', KEYS[2], id, 'd', chunk)
  else
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[19], id, 'd', chunk)
  end
end
if units ~= '0' then add(ARGV[17]) end
if ARGV[14] == 'd' then add(ARGV[15]) end
made.e = digits(life.newest)
made.born = made.e
local set = {
  'HSET', KEYS[1], 'n', digits(made.n), 'e', made.e, 'born', made.born, 't', made.t, 'k', made.k, 'z', largest,
}
local function put(field, value)
  set[#set + 1] = field
  set[#set + 1] = value
end
if made.b ~= '' then put('b', made.b) end
if made.l ~= 'forever' then
  local ends = string.match(made.l, '^until (%d+)$') or digits(now + 1000 * string.match(made.l, '%d+'))
  put('l', made.l)
  put('lt', made.lt)
  put('x', ends)
  redis.call('ZADD', KEYS[4], ends, name)
else
  made.l, made.lt = nil, nil
end
if ARGV[7] == '1' then
  made.c = '1'
  put('c', '1')
end
if source ~= '' then
  put('f', digits(begin) .. ' ' .. depth .. ' ' .. source)
  put('fu', units)
  if lifetime == '' then put('fi', '1') end
  redis.call('HSET', KEYS[7], 'r', asked + 1)
end
redis.call(unpack(set))
wake(KEYS[5], name)
return { 'made', told(made) }
