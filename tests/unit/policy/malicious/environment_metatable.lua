-- hook: chat.prepare
-- expect: error
setmetatable(_ENV, {})
