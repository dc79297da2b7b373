-- hook: chat.prepare
-- expect: limit
local s = ('x'):rep(200000)
while true do local t = s .. 'y' end
