-- KEYS: stream, leases. ARGV: groups...
local refused
for i = 1, #ARGV do
  local destroyed = redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[i])
  -- Where the stream is gone its groups are, too.
  if type(destroyed) == 'table' and destroyed.err and redis.call('EXISTS', KEYS[1]) == 1 then
    refused = refused or destroyed
  end
  redis.pcall('ZREM', KEYS[2], ARGV[i])
end
return refused or 1
