-- hook: chat.prepare
-- expect: limit
while true do for w in ('x'):rep(1000):gmatch('') do end end
