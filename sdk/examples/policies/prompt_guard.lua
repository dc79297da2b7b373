-- hook: chat.prepare
-- priority: 20
-- Questions that try to take the model over, or are too long to be one, are refused.
local tricks = { "ignore .*previous .*instructions", "ignore .*above", "disregard .*instructions", "system prompt", "developer mode", "you are now " }
local query = ctx.query:lower()
if #query > 8000 then
  decide.deny(422, "question_too_long", "Ask in at most 8000 characters.")
end
for _, trick in ipairs(tricks) do
  if query:find(trick) then
    metric("prompt_guard")
    decide.deny(422, "question_refused", "This question is worded as an order to the model: ask about your documents.")
  end
end
