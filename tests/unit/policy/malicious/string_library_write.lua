-- hook: chat.prepare
-- expect: error
string.format = nil
