-- The logs that a stream is read from, oldest first: { name, behind which place, up to which, bytes of its largest chunk }. The
-- search ends with the one that has the chunk behind `after`. `head` has the fields f and z.
local function parts_of(name, head, after)
  local parts, through = {}, head.n
  while true do
    local from, _, source = fork_of(head)
    if through > from then
      table.insert(parts, 1, { name = name, from = from, through = through, largest = tonumber(head.z or 0) })
    end
    if after >= from or not source then return parts end
    local before = head_of(key_of('head', source), 'f', 'z')
    if not before then return parts end
    name, head, through = source, before, math.min(through, from)
  end
end

local function range(name, from, through, count)
  return redis.call(
    'XRANGE', key_of('log', name), digits(from + 1) .. '-0', digits(through) .. '-0', 'COUNT', count
  )
end

local function place_of(entry)
  return tonumber(string.match(entry[1], '^%d+'))
end

-- How many of the first chunks are gone, of those behind `after`: the oldest log may have been trimmed, and each that begins behind it.
local function trimmed_of(name, head, after)
  local parts, oldest = parts_of(name, head, after), head.n
  for place = #parts, 1, -1 do
    local part = parts[place]
    if part.through ~= oldest then return oldest end
    local from = math.max(part.from, after)
    local first = range(part.name, from, part.through, 1)[1]
    if not first then return oldest end
    oldest = place_of(first) - 1
    if oldest > from then return oldest end
  end
  return oldest
end

-- Whether a place is one from which the stream can still be read.
local function is_kept(name, head, after)
  return after >= head.n or trimmed_of(name, head, after) == after
end
