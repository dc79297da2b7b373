-- hook: chat.prepare
-- expect: error
load('while true do end')()
