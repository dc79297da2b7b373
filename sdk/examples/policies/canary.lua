-- hook: chat.prepare
-- priority: 800
-- One key in ten gets its answers from the next model, always the same ones, unless somebody has chosen a model.
local share, candidate = 10, "extractive"
local who = ctx.subject_id or ctx.session_id or ""
local sum = 0
for i = 1, #who do sum = (sum * 31 + who:byte(i)) % 1000003 end
if not ctx.model and sum % 100 < share then
  metric("canary")
  patch("/model", candidate)
end
