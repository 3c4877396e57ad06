-- KEYS: expiry, then the head of each name. ARGV: prefix, names...
local now, looks = now_ms(), {}
for place = 2, #KEYS do
  local head = head_of(KEYS[place], 'e', 'b', 'c', 'l')
  if absence(head, now) then
    looks[#looks + 1] = 0
  else
    renew(KEYS[place], KEYS[1], ARGV[place], head, now)
    looks[#looks + 1] = { head.n, epoch_at(head, head.n), head.c and 1 or 0 }
  end
end
return looks
