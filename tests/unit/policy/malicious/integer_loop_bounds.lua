-- hook: chat.prepare
-- expect: limit
for i = math.mininteger, math.maxinteger do end
