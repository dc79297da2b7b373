-- hook: chat.prepare
-- priority: 50
-- Questions about these words are not answered.
local refused = { "password", "salary" }
local query = ctx.query:lower()
for _, word in ipairs(refused) do
  if query:find(word, 1, true) then
    metric("refused")
    decide.deny(422, "@IDENT@_refused", "Questions about a " .. word .. " are not answered here.")
  end
end
