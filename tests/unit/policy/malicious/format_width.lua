-- hook: chat.prepare
-- expect: error
return string.format('%99999999d', 1)
