-- Tells all instances that a stream has changed. One who misses it looks a little later, so nothing hangs on it.
local function wake(key, name)
  redis.pcall('XADD', key, 'MAXLEN', '~', '1000', '*', 's', name)
end
