-- KEYS: stream, revocations. ARGV: maxlen, subject, when, until ('' for no end), now, most that are kept.
-- The list is one string, a line each: `<when> <until> <subject>`. It is short and seldom written, and a string needs no
-- rights that publishing does not need. Of two of one subject the later time and the later end count.
local function may(...)
  if lacks(...) then return no_right(string.lower((...)), (select(2, ...))) end
end
local denied = may('XADD', KEYS[1], '*', 'a', 'b')
  or ARGV[4] ~= '' and (may('GET', KEYS[2]) or may('SET', KEYS[2], '1'))
if denied then return denied end

local add = { 'XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'weir', 'revoke', 'subject', ARGV[2], 'at', ARGV[3] }
if ARGV[4] == '' then return { 'written', redis.call(unpack(add)) } end
add[#add + 1] = 'until'
add[#add + 1] = ARGV[4]

local function later(a, b) return tonumber(a) > tonumber(b) and a or b end
local now, when, ends, last = tonumber(ARGV[5]), ARGV[3], ARGV[4], ARGV[4]
local lines = {}
for at, till, subject in string.gmatch(redis.call('GET', KEYS[2]) or '', '(%d+) (%d+) ([^\n]+)') do
  if subject == ARGV[2] then
    when, ends = later(at, when), later(till, ends)
    last = later(ends, last)
  elseif tonumber(till) > now then
    lines[#lines + 1] = at .. ' ' .. till .. ' ' .. subject
    last = later(till, last)
  end
end
if #lines >= tonumber(ARGV[6]) then return { 'full' } end
lines[#lines + 1] = when .. ' ' .. ends .. ' ' .. ARGV[2]
-- What can fail comes first: whoever hears that nothing was written shall find nothing in the list.
local id = redis.call(unpack(add))
redis.call('SET', KEYS[2], table.concat(lines, '\n'), 'PX', string.format('%.0f', math.max(1, tonumber(last) - now)))
return { 'written', id }
