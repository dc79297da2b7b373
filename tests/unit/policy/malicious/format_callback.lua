-- hook: chat.prepare
-- expect: error limit
local t
t = setmetatable({}, {__tostring = function() return string.format('%s', t) end})
return string.format('%s', t)
