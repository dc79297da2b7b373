-- hook: chat.prepare
-- expect: limit
local s = ('a'):rep(40)
return s:find(('a?'):rep(40) .. ('a'):rep(40) .. 'b')
