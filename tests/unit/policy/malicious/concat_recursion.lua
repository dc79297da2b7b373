-- hook: chat.prepare
-- expect: error limit
local t
t = setmetatable({}, {__concat = function(a, b) return t .. t end})
return t .. t
