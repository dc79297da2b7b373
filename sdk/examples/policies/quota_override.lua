-- hook: limit.check
-- Each key may ask 20 questions an hour; some have another quota, 0 is none at all.
local usual = 20
local others = { ["01890000-0000-7000-8000-00000000000a"] = 500, ["01890000-0000-7000-8000-00000000000b"] = 0 }
if ctx.operation == "chat.ask" and ctx.subject_id then
  local quota = others[ctx.subject_id] or usual
  local asked = kv.incr("asked:" .. ctx.subject_id, 1, 3600)
  if not asked or asked > quota then
    decide.deny(429, "question_quota", "This key may ask " .. quota .. " questions an hour.")
  end
end
