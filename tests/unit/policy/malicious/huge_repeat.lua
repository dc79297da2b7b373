-- hook: chat.prepare
-- expect: error
return ('x'):rep(1000000000)
