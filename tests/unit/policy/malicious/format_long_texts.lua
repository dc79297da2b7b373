-- hook: chat.prepare
-- expect: limit
local s = ('x'):rep(100000)
while true do string.format('%s', s) end
