-- KEYS: head. ARGV: prefix.
local head = head_of(KEYS[1], 'e', 'b', 'c', 't', 'l', 'lt', 'born')
local absent = absence(head, now_ms())
if absent then return { absent } end
return { 'told', told(head) }
