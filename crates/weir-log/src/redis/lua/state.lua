-- What identifies the stream and bounds it:
-- { last id, entries added or -1, length or -1, first id or '', newest deleted id or '', 1 if it exists }.
local function state_by_entries(key)
  -- Without the right to look at the stream its entries tell: whether it goes on, but not how many are gone.
  local newest = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
  local oldest = redis.pcall('XRANGE', key, '-', '+', 'COUNT', 1)
  local length = redis.pcall('XLEN', key)
  if newest.err or oldest.err then return nil, no_right('xinfo|stream', key) end
  if not newest[1] then return { '0-0', -1, 0, '', '', 0 } end
  if type(length) == 'table' then length = -1 end
  return { newest[1][1], -1, length, oldest[1][1], '', 1 }
end

local function stream_state(key)
  local info = redis.pcall('XINFO', 'STREAM', key)
  if info.err then
    if string.find(info.err, 'no such key', 1, true) then return { '0-0', 0, 0, '', '', 0 } end
    if lacks('XINFO', 'STREAM', key) then return state_by_entries(key) end
    return nil, info
  end
  local field = {}
  for i = 1, #info, 2 do field[info[i]] = info[i + 1] end
  local first = field['first-entry']
  return {
    field['last-generated-id'], field['entries-added'] or -1, field['length'],
    first and first[1] or '', field['max-deleted-entry-id'] or '', 1,
  }
end

local function now_ms()
  local time = redis.pcall('TIME')
  if time.err then error(lacks('TIME') and no_right('time', 'the server') or time) end
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
