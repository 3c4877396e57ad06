-- KEYS: stream, leases. ARGV: groups...
for i = 1, #ARGV do
  redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[i])
  redis.pcall('ZREM', KEYS[2], ARGV[i])
end
return 1
