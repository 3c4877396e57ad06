-- Within a script Redis does not tell which right is missing. It can be asked, from version 7 on.
local function lacks(...)
  return redis.acl_check_cmd ~= nil and not redis.acl_check_cmd(...)
end

local function no_right(command, key)
  return { err = 'NOPERM this user may not run ' .. command .. ' on ' .. key }
end
