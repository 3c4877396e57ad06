-- KEYS: instances. ARGV: who tells, what.
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now_ms()) .. ARGV[2])
return redis.status_reply('OK')
