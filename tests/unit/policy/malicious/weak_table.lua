-- hook: chat.prepare
-- expect: error
setmetatable({}, {__mode = 'k'})
