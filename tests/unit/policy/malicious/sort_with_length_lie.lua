-- hook: chat.prepare
-- expect: continue limit
local t = setmetatable({}, {__len = function() return 1e15 end})
table.sort(t)
