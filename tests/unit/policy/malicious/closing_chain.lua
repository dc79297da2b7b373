-- hook: chat.prepare
-- expect: limit error
local mt = {}
local t = setmetatable({}, mt)
mt.__close = function() pcall(function() while true do end end) end
local function f(n) local x <close> = t return f(n + 1) + 1 end
f(1)
