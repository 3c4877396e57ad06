-- KEYS: totals, mark of this instance. ARGV: number of this addition, ms that the mark is kept, then fields and what is added to each.
-- The mark tells an addition that is asked for again, since nobody heard what became of it, from a new one. What can fail comes first, and
-- changes nothing that anybody counts: adding 0 is tried with each field.
if redis.call('GET', KEYS[2]) == ARGV[1] then return 0 end
for place = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[place], 0) end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
for place = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[place], ARGV[place + 1]) end
return 1
