-- hook: chat.prepare
-- priority: 950
-- What is asked in these workspaces is answered in the region: by models on this machine, or by routes whose name begins with "eu-".
local bound = { ["01890000-0000-7000-8000-000000000001"] = true }
local here = { extractive = true, gemma3 = true }
if bound[ctx.workspace_id] and not (ctx.model and (here[ctx.model] or ctx.model:sub(1, 3) == "eu-")) then
  patch("/model", "extractive")
end
