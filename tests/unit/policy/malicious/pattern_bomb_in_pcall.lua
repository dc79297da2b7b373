-- hook: limit.check
-- expect: limit
local s = ('a'):rep(100000)
while true do pcall(string.find, s, ('a*'):rep(30) .. 'b') end
