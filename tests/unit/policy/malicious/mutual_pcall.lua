-- hook: chat.prepare
-- expect: continue error
-- every level catches the failure of the one below
local function f() return pcall(f) end
f()
