-- hook: chat.prepare
-- E-mail addresses, card and telephone numbers do not reach the model.
local text = ctx.query
text = text:gsub("[%w._%+-]+@[%w-]+%.[%w.-]*%w", "[e-mail]")
text = text:gsub("%d[%d -]+%d", function(found)
  local digits = #found:gsub("[^%d]", "")
  if digits >= 13 and digits <= 19 then return "[card]" end
  if digits >= 9 then return "[number]" end
end)
text = text:gsub("%+%d[%d -]+%d", "[number]")
if text ~= ctx.query then patch("/query", text) end
