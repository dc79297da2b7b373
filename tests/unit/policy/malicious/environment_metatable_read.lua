-- hook: chat.prepare
-- expect: continue
assert(getmetatable(_ENV) == false)
assert(getmetatable(string) == false)
assert(getmetatable('') == nil)
assert(getmetatable(ctx) == nil)
