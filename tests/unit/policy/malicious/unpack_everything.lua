-- hook: chat.prepare
-- expect: error
return table.unpack({}, 1, 100000000)
