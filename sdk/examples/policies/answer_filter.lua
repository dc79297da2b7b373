-- hook: chat.sentence
-- Code names and internal hosts do not leave in answers, streamed ones included; a sentence with a key in it ends the answer.
if ctx.text:find("sk_live_%w+") or ctx.text:find("BEGIN [%u ]*PRIVATE KEY") then
  decide.deny(403, "answer_withheld", "The answer held a secret and was withheld.")
end
local text = ctx.text:gsub("%f[%w][Bb]lue [Hh]eron%f[%W]", "[project]"):gsub("[%w-]+%.internal%f[%W]", "[host]")
if text ~= ctx.text then patch("/text", text) end
