-- Ends a stream, and the sources that were kept for it alone. `head` has the field f.
local function remove(expiry, name, head, now)
  while true do
    local key = key_of('head', name)
    redis.call('UNLINK', key_of('producers', name))
    redis.call('ZREM', expiry, name)
    if tonumber(head.r or 0) > 0 then
      redis.call('HSET', key, 'g', 1)
      return
    end
    redis.call('UNLINK', key, key_of('log', name))
    local _, _, source = fork_of(head)
    local left = source and head_of(key_of('head', source), 'f')
    if not left then return end
    left.r = math.max(0, tonumber(left.r or 0) - 1)
    redis.call('HSET', key_of('head', source), 'r', left.r)
    if absence(left, now) ~= 'missing' then return end
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
