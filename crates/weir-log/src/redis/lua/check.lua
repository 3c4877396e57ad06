-- KEYS: stream.
local state, failed = stream_state(KEYS[1])
return state or failed
