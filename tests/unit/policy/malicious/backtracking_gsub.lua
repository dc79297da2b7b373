-- hook: chat.prepare
-- expect: limit
local s = ('('):rep(20000)
return s:gsub('%b()', '')
