-- hook: chat.prepare
-- expect: error
setmetatable(string, {})
