-- hook: chat.prepare
-- expect: error
collectgarbage('stop')
