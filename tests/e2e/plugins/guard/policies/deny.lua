-- hook: limit.check
-- priority: 50
if ctx.operation == "notes.delete" then
  decide.deny(403, "deletion_guarded", "Notes stay.")
end
if ctx.operation == "notes.create" and kv.incr("notes:" .. ctx.workspace_id, 1, 60) > 100000 then
  decide.deny(429, "too_many_notes", "Later.")
end
