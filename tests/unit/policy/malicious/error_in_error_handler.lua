-- hook: chat.prepare
-- expect: error
local mt = {}
mt.__index = function() error(setmetatable({}, mt)) end
return setmetatable({}, mt).x
