-- hook: chat.prepare
-- priority: 50
if ctx.query == "replace me" then
  patch("/query", "When did the keepers leave the lighthouse?")
end
