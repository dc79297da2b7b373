-- hook: chat.prepare
-- expect: error
ctx.operation = 'other'
