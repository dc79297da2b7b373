-- hook: chat.prepare
-- expect: error
local t = {}
for i = 1, 1000 do t = {t} end
patch('/query', t)
