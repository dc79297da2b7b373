-- hook: chat.prepare
-- expect: error
return ('x'):rep(5000):find(('x?'):rep(5000))
