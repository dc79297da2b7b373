-- hook: chat.prepare
-- expect: limit
local a, b = ('x'):rep(200000) .. 'a', ('x'):rep(200000) .. 'b'
while true do local c = a < b end
