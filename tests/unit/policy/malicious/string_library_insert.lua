-- hook: chat.prepare
-- expect: error
table.insert(string, 1)
