-- hook: chat.prepare
-- expect: error
setmetatable({}, {__gc = function() while true do end end})
