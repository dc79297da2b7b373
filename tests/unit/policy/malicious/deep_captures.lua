-- hook: chat.prepare
-- expect: error
return ('x'):find(('('):rep(100) .. 'x' .. (')'):rep(100))
