-- hook: chat.prepare
-- expect: error limit
local t = {}
for i = 1, 12000 do t[i] = i end
patch('/query', t)
