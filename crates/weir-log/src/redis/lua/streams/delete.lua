-- KEYS: head, log, producers, expiry, wake. ARGV: prefix, name.
local now = now_ms()
local head = head_of(KEYS[1], 'f')
local absent = absence(head, now)
if absent then return { absent } end
may_remove(KEYS[4], ARGV[2])
remove(KEYS[4], ends_of(ARGV[2], head, now))
wake(KEYS[5], ARGV[2])
return { 'done' }
