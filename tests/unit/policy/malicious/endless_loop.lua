-- hook: chat.prepare
-- expect: limit
while true do end
