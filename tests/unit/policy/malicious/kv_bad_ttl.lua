-- hook: chat.prepare
-- expect: error
kv.set('k', 1, 0/0)
