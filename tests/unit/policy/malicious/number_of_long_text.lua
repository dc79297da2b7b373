-- hook: limit.check
-- expect: limit
local s = ('1'):rep(200000)
local n = 0
while true do n = s + 0 end
