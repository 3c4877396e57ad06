-- KEYS: stream, leases. ARGV: new group, newest id known, old groups...
-- Returns { state, what stands at the newest id known, why there is no group or '' }.
-- Looking and creating are one step, so that nothing can be added between them. Destroying the old groups unblocks
-- sockets that only this side believes dead, before they take another entry.
local state, failed = stream_state(KEYS[1])
if not state then return failed end
local known = {}
if state[6] == 1 then known = redis.pcall('XRANGE', KEYS[1], ARGV[2], ARGV[2]) end
if known.err then return lacks('XRANGE', KEYS[1], '-', '+') and no_right('xrange', KEYS[1]) or known end
for i = 3, #ARGV do
  redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[i])
  redis.pcall('ZREM', KEYS[2], ARGV[i])
end
local create = { 'XGROUP', 'CREATE', KEYS[1], ARGV[1], state[1], 'MKSTREAM' }
if state[2] >= 0 then
  create[#create + 1] = 'ENTRIESREAD'
  create[#create + 1] = state[2]
end
-- A group is of use only to somebody who can read by it and acknowledge what was read.
local created
if lacks(unpack(create)) then
  created = no_right('xgroup|create', KEYS[1])
elseif lacks('XREADGROUP', 'GROUP', ARGV[1], 'reader', 'STREAMS', KEYS[1], '>') then
  created = no_right('xreadgroup', KEYS[1])
elseif lacks('XACK', KEYS[1], ARGV[1], '0-1') then
  created = no_right('xack', KEYS[1])
else
  created = redis.pcall(unpack(create))
end
if created.err then return { state, known, created.err } end
redis.pcall('ZADD', KEYS[2], now_ms(), ARGV[1])
return { state, known, '' }
