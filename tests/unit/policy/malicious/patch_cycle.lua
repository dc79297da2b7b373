-- hook: chat.prepare
-- expect: error
local t = {}
t[1] = t
patch('/temperature', t)
