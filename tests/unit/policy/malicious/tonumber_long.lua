-- hook: chat.prepare
-- expect: limit
local s = ('9'):rep(200000)
while true do tonumber(s, 10) end
