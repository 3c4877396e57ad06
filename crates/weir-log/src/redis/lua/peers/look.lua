-- KEYS: instances, watched. ARGV: for how long a look counts and when a silent one is gone, in ms; most instances, most bytes.
-- Returns { how many there are, id, age in ms, report, id, … }.
-- What is too old, too large or nothing that weir wrote is removed, so that it costs one look and no more.
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
-- The time that stands before a report is no part of it.
local now, gone, most = now_ms(), tonumber(ARGV[2]), tonumber(ARGV[4]) + 14
local found = redis.call('HRANDFIELD', KEYS[1], ARGV[3], 'WITHVALUES')
local told = {}
for i = 1, #found, 2 do
  local fits = #found[i] <= 512 and #found[i + 1] <= most
  local stamp, report = string.match(fits and found[i + 1] or '', '^(%d+) (.*)$')
  local age = stamp and now - tonumber(stamp)
  -- The clock of a Redis that took over may stand a little before the one that stamped it.
  if not age or age > gone or age < -gone then
    redis.call('HDEL', KEYS[1], found[i])
  else
    told[#told + 1] = found[i]
    told[#told + 1] = string.format('%.0f', math.max(0, age))
    told[#told + 1] = report
  end
end
return { redis.call('HLEN', KEYS[1]), unpack(told) }
