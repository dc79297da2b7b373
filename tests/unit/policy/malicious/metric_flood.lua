-- hook: chat.prepare
-- expect: limit
for i = 1, 1e9 do metric('m' .. i % 1000) end
