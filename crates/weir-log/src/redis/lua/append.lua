-- KEYS: stream, idempotency key, snapshot keys...
-- ARGV: maxlen, seconds to remember (0: not at all), digest, then for each event: count of field parts, place of its
-- snapshot key in KEYS (0: none), seconds of the snapshot, and the field parts.
-- Everything is written or nothing: what can be refused is refused at the first write.
local function may(...)
  if lacks(...) then return no_right(string.lower((...)), (select(2, ...))) end
end
local denied = may('XADD', KEYS[1], '*', 'a', 'b')
  or ARGV[2] ~= '0' and (may('GET', KEYS[2]) or may('SET', KEYS[2], '1'))
for i = 3, #KEYS do denied = denied or may('SET', KEYS[i], '1') end
if denied then return denied end

if ARGV[2] ~= '0' then
  local known = redis.call('GET', KEYS[2])
  if known then
    if string.sub(known, 1, 64) ~= ARGV[3] then return { 'conflict' } end
    return { 'duplicate', string.sub(known, 66) }
  end
end

local ids, at = {}, 4
while at <= #ARGV do
  local parts, key, secs = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
  local add = { 'XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*' }
  for i = at + 3, at + 2 + parts do add[#add + 1] = ARGV[i] end
  local id = redis.call(unpack(add))
  ids[#ids + 1] = id
  if key > 0 then
    local kept = { id, '\n' }
    for i = at + 3, at + 2 + parts do
      kept[#kept + 1] = #ARGV[i]
      kept[#kept + 1] = ':'
      kept[#kept + 1] = ARGV[i]
    end
    redis.call('SET', KEYS[key], table.concat(kept), 'EX', secs)
  end
  at = at + 3 + parts
end

local written = table.concat(ids, ' ')
if ARGV[2] ~= '0' then redis.call('SET', KEYS[2], ARGV[3] .. ' ' .. written, 'EX', ARGV[2]) end
return { 'written', written }
