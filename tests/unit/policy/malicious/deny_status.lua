-- hook: chat.prepare
-- expect: error
decide.deny(200)
