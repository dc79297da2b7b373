-- hook: chat.prepare
-- expect: limit
local s = ('a'):rep(5000)
return s:match('.-.-.-.-.-.-b')
