-- hook: chat.prepare
-- expect: limit
local t = {}
for i = 1, 1500 do t = setmetatable({}, {__index = t}) end
while true do local x = t.missing end
