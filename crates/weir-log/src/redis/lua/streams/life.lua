-- `<prefix>:ds:life` is a hash: replid, under which replication id of Redis the newest life of all logs began; began, the
-- epoch of that life; newest, the highest epoch that was given to anything.
-- Redis takes a new replication id whenever its data may not be what it was: at its start, and as a replica that becomes the
-- master. It is looked at with every append, so that there is no moment in which a chunk gets the epoch and the number of
-- one that was lost.
local function life_of(key, now)
  if lacks('INFO', 'replication') then error(no_right('info', 'the server')) end
  local stored = redis.call('HMGET', key, 'replid', 'began', 'newest')
  local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or '-'
  local life = {
    key = key, replid = replid, began = tonumber(stored[2] or 0), newest = tonumber(stored[3] or 0),
  }
  if stored[1] ~= replid then
    life.newest = math.max(life.newest + 1, now)
    life.began = life.newest
    life.is_new = true
  end
  return life
end

local function keep_life(life)
  redis.call(
    'HSET', life.key, 'replid', life.replid, 'began', digits(life.began), 'newest', digits(life.newest)
  )
end

-- Where there are too many lives, the two oldest become one that ends with the first and has the epoch of the second: no
-- place gets an epoch with which another chunk was ever given out.
local function bounded(branches, most)
  local all = {}
  for epoch, last in string.gmatch(branches, '(%d+):(%d+)') do all[#all + 1] = { epoch, last } end
  while #all > most do
    local oldest = table.remove(all, 1)
    all[1][2] = oldest[2]
  end
  for place, branch in ipairs(all) do all[place] = branch[1] .. ':' .. branch[2] end
  return table.concat(all, ' ')
end
