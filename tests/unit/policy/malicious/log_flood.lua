-- hook: chat.prepare
-- expect: limit
while true do log(('x'):rep(100)) end
