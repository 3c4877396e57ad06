-- Within a script Redis does not tell which right is missing. It can be asked, from version 7 on.
local function lacks(...)
  return redis.acl_check_cmd ~= nil and not redis.acl_check_cmd(...)
end

-- What it says is logged. A key is named by its kind: names of sessions and of streams are nobody's but their owners'.
local function no_right(command, key)
  for _, kind in ipairs({ ':snapshot:', ':idem:', ':ds:%a+:' }) do
    key = string.gsub(key, '^(.-' .. kind .. ').+$', '%1*')
  end
  return { err = 'NOPERM this user may not run ' .. command .. ' on ' .. key }
end
