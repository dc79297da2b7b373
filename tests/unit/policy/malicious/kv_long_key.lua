-- hook: chat.prepare
-- expect: continue
local ok, why = kv.set(('k'):rep(1000), 1)
assert(not ok and why == 'too_large')
