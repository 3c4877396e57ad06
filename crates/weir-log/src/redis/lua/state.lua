-- What identifies the stream and bounds it:
-- { last id, entries added or -1, length, first id or '', newest deleted id or '', 1 if it exists }.
local function stream_state(key)
  local info = redis.pcall('XINFO', 'STREAM', key)
  if info.err then
    if string.find(info.err, 'no such key', 1, true) then return { '0-0', 0, 0, '', '', 0 } end
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
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
