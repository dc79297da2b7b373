-- hook: chat.prepare
-- expect: error limit
local f = function() end
for i = 1, 300 do f = setmetatable({}, {__call = f}) end
while true do f() end
