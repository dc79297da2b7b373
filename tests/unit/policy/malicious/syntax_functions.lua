-- hook: chat.prepare
-- expect: syntax
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
local function f()
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
end
