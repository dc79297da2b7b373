-- hook: chat.prepare
-- expect: deny
local mt = {}
local t = setmetatable({}, mt)
mt.__close = function() decide.continue() end
local x <close> = t
decide.deny(403, 'no', 'No.')
