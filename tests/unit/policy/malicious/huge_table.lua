-- hook: chat.prepare
-- expect: limit
local t = {}
while true do t[#t + 1] = {} end
