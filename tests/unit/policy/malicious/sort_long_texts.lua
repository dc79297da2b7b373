-- hook: chat.prepare
-- expect: limit
local t, s = {}, ('x'):rep(200000)
for i = 1, 2000 do t[i] = s end
table.sort(t)
