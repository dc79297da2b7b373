-- hook: chat.prepare
-- expect: limit
::again:: goto again
