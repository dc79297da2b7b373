-- hook: chat.prepare
-- expect: error limit
while true do patch('/temperature', 1) end
