-- hook: chat.prepare
-- priority: 900
-- Only these models answer here; 900, so that it sees what others have chosen. null is the workspace's default.
local allowed = { extractive = true, fast = true, ["gpt-4o-mini"] = true }
if ctx.model and not allowed[ctx.model] then
  decide.deny(403, "model_not_allowed", "The model " .. ctx.model .. " is not allowed here: choose extractive, fast or gpt-4o-mini.")
end
