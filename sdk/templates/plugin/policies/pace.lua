-- hook: limit.check
-- priority: 200
-- At most about 30 new items a minute for one caller: each event loop counts for itself.
if ctx.operation == "@IDENT@.create_item" then
  local added = kv.incr("added:" .. ctx.subject_id, 1, 60)
  if added and added > 30 then
    decide.deny(429, "@IDENT@_too_fast", "At most 30 items a minute may be added.")
  end
end
