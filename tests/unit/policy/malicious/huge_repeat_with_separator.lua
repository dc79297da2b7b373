-- hook: chat.prepare
-- expect: error
return (''):rep(1 << 40, 'xx')
