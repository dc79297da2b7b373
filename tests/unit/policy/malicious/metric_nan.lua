-- hook: chat.prepare
-- expect: error
metric('m', 0/0)
