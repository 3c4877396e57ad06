-- KEYS: stream, leases. ARGV: lease in ms, '1' to reap.
-- Returns { 1 if the stream exists, groups... }, each { name, standing, age of the lease in ms, consumers, pending, lag };
-- -1 is unknown. The rule is the janitor's of upkeep.lua; looking and destroying are one step, so that a lease that is
-- renewed in between is never missed.
local stream, leases = KEYS[1], KEYS[2]
local lease, reap, now = tonumber(ARGV[1]), ARGV[2] == '1', now_ms()

if lacks('XINFO', 'GROUPS', stream) then return no_right('xinfo|groups', stream) end
if lacks('ZSCORE', leases, 'g') then return no_right('zscore', leases) end
if reap then
  -- Without leases nobody can tell the living from the dead: who may not write them finds instances that may not either.
  if lacks('ZADD', leases, '1', 'g') then return no_right('zadd', leases) end
  if lacks('ZREM', leases, 'g') then return no_right('zrem', leases) end
  if lacks('XGROUP', 'DESTROY', stream, 'g') then return no_right('xgroup|destroy', stream) end
end

-- While Redis takes no writes the living cannot renew their leases, and look dead.
local written = lacks('ZADD', leases, '1', 'g') and {} or redis.pcall('ZADD', leases, 'XX', now, '')
local refused = type(written) == 'table' and written.err
if reap and refused then return written end

local function standing(group)
  if string.sub(group, 1, 5) ~= 'weir:' then return 'foreign', -1 end
  local stamp = redis.call('ZSCORE', leases, group)
  if not stamp then
    -- Somebody may be just joining: it gets a full period from now on.
    if reap then redis.call('ZADD', leases, now, group) end
    return 'unleased', -1
  end
  local age = math.max(0, now - tonumber(stamp))
  if age <= lease then return 'alive', age end
  if refused then return 'unleased', -1 end
  if not reap then return 'orphaned', age end
  redis.call('XGROUP', 'DESTROY', stream, group)
  redis.call('ZREM', leases, group)
  return 'reaped', age
end

local groups = redis.pcall('XINFO', 'GROUPS', stream)
if groups.err then
  if string.find(groups.err, 'no such key', 1, true) then return { 0 } end
  return groups
end
local seen = { 1 }
for _, info in ipairs(groups) do
  local field = {}
  for i = 1, #info, 2 do field[info[i]] = info[i + 1] end
  local stands, age = standing(field['name'])
  seen[#seen + 1] = {
    field['name'], stands, age, field['consumers'], field['pending'], field['lag'] or -1,
  }
end
return seen
