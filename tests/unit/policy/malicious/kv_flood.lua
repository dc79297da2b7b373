-- hook: chat.prepare
-- expect: limit
for i = 1, 1e9 do kv.set('k' .. i, ('x'):rep(4000), 86400) end
