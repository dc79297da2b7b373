-- hook: chat.prepare
-- expect: error limit
local t
t = setmetatable({}, {__call = function() return t() + 1 end})
return t()
