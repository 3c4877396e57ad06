-- KEYS: expiry, wake. ARGV: prefix, most streams at once.
-- Removes what has expired; returns how many. What was renewed without a word here is put where it belongs.
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', digits(now), 'LIMIT', 0, ARGV[2])
local removed = 0
for _, name in ipairs(due) do
  local head = head_of(key_of('head', name), 'f')
  if head and not head.g and head.x and tonumber(head.x) > now then
    redis.call('ZADD', KEYS[1], head.x, name)
  elseif head and head.x and not head.g then
    may_remove(KEYS[1], name)
    remove(KEYS[1], ends_of(name, head, now))
    wake(KEYS[2], name)
    removed = removed + 1
  else
    redis.call('ZREM', KEYS[1], name)
  end
end
return { #due, removed }
