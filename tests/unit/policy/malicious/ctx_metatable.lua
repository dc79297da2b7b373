-- hook: chat.prepare
-- expect: error
setmetatable(ctx, {})
