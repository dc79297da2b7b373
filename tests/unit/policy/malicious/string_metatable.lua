-- hook: chat.prepare
-- expect: error
getmetatable('').__index = {}
