-- hook: chat.prepare
-- expect: limit
local s = ('ab '):rep(20000)
for i = 1, 1e9 do s:find('%f[%w]%f[%s]') end
