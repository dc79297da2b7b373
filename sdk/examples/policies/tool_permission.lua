-- hook: tool.call
-- Which tools an agent may use, and how: the model is told the reason and may do without.
local tools = {
  ["01890000-0000-7000-8000-00000000000c"] = { vector_search = true, hybrid_search = true },
}
local usual = { vector_search = true }
if not (tools[ctx.agent_id] or usual)[ctx.tool] then
  decide.deny(403, "tool_not_allowed", "This agent may not use " .. ctx.tool .. ".")
end
if ctx.arguments.query and ctx.arguments.query:lower():find("salar") then
  decide.deny(403, "tool_not_allowed", "Salaries are not searched for.")
end
