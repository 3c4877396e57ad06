-- What ends with a stream: itself, and the sources that were kept for it alone. `head` has the field f.
-- The keys of sources are no declared ones. They are in the same slot, so that this is allowed; but while a slot of a cluster
-- moves, some may be at the other node already, of which Redis tells where they are touched. All are, before a first write.
local function ends_of(name, head, now)
  local ends = {}
  while true do
    local forks = tonumber(head.r or 0)
    ends[#ends + 1] = { name = name, is_kept = forks > 0 }
    redis.call('HMGET', key_of('producers', name), '')
    if forks > 0 then return ends end
    redis.call('XRANGE', key_of('log', name), '0-1', '0-1')
    local _, _, source = fork_of(head)
    local left = source and head_of(key_of('head', source), 'f')
    if not left then return ends end
    left.r = math.max(0, tonumber(left.r or 0) - 1)
    if absence(left, now) ~= 'missing' then
      ends.source, ends.forks = source, left.r
      return ends
    end
    name, head = source, left
  end
end

local function may_remove(expiry, name)
  may('UNLINK', key_of('producers', name))
  may('UNLINK', key_of('log', name))
  may('UNLINK', key_of('head', name))
  may('HSET', key_of('head', name), 'g', '1')
  may('ZREM', expiry, name)
end

local function remove(expiry, ends)
  for _, stream in ipairs(ends) do
    local head = key_of('head', stream.name)
    redis.call('UNLINK', key_of('producers', stream.name))
    redis.call('ZREM', expiry, stream.name)
    if stream.is_kept then
      redis.call('HSET', head, 'g', 1)
    else
      redis.call('UNLINK', head, key_of('log', stream.name))
    end
  end
  if ends.source then redis.call('HSET', key_of('head', ends.source), 'r', ends.forks) end
end
