-- hook: chat.prepare
-- expect: error
coroutine.wrap(function() while true do end end)()
