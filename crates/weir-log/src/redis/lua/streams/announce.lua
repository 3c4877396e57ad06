-- KEYS: wake, then the head of each name. ARGV: prefix, then for each its name and when it was appended to.
-- What was announced since, or is gone, which announced itself, is not announced again.
local now = now_ms()
for place = 2, #KEYS do
  local name, since = ARGV[2 * place - 2], tonumber(ARGV[2 * place - 1])
  local at = redis.call('HMGET', KEYS[place], 'n', 'w')
  if at[1] and tonumber(at[2] or 0) <= since then
    redis.call('HSET', KEYS[place], 'w', digits(now))
    wake(KEYS[1], name)
  end
end
return 1
