-- hook: chat.prepare
-- expect: error
local s = ('x'):rep(100000)
return s:byte(1, -1)
