-- hook: chat.prepare
-- expect: error
error()
