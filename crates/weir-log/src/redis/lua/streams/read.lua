-- KEYS: head, log, expiry. ARGV: prefix, name, from (`begin`, `after`, `end`), n and epoch of `after`, most bytes, most chunks,
-- '1' where reading it is a use of the stream, which keeps it alive.
-- Returns { 'page', the stream, behind which place, the lengths of the chunks, all of them as one }: a reply with few elements is
-- read in one go. Of the logs no more is fetched at once than is asked for, or a large chunk.
local name, from, after = ARGV[2], ARGV[3], tonumber(ARGV[4])
local most, count = tonumber(ARGV[6]), tonumber(ARGV[7])
local now = now_ms()
local head = head_of(KEYS[1], 'e', 'b', 'c', 't', 'l', 'lt', 'born', 'f', 'z')
local absent = absence(head, now)
if absent then return { absent } end
if from == 'end' then
  after = head.n
elseif from == 'begin' then
  after = math.max(0, trimmed_of(name, head, -1))
elseif after > head.n or epoch_at(head, after) ~= ARGV[5] or not is_kept(name, head, after) then
  return { 'gone' }
end

local start, lengths, chunks, bytes = after, {}, {}, 0
local function take(part)
  while after < part.through and #chunks < count and (bytes < most or #chunks == 0) do
    local fits = math.floor(math.max(most - bytes, 65536) / math.max(part.largest, 1))
    local entries = range(part.name, after, part.through, math.max(1, math.min(fits, count - #chunks)))
    for _, entry in ipairs(entries) do
      local chunk = entry[2][2]
      if place_of(entry) ~= after + 1 or #chunks > 0 and bytes + #chunk > most then return false end
      after = after + 1
      bytes = bytes + #chunk
      lengths[#lengths + 1] = #chunk
      chunks[#chunks + 1] = chunk
    end
    if #entries == 0 then return false end
  end
  return after >= part.through
end
for _, part in ipairs(parts_of(name, head, after)) do
  if part.from > after or not take(part) then break end
end
if #chunks == 0 and after < head.n then return { 'gone' } end
if ARGV[8] == '1' then renew(KEYS[1], KEYS[3], name, head, now) end
return { 'page', told(head), start, table.concat(lengths, ' '), table.concat(chunks) }
