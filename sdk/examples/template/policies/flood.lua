-- hook: limit.check
-- priority: 200
-- At most ten new tickets a minute from one caller.
if ctx.operation == "helpdesk.create" then
  local opened = kv.incr("opened:" .. ctx.subject_id, 1, 60)
  if not opened or opened > 10 then
    decide.deny(429, "helpdesk_flood", "At most ten tickets a minute may be opened: put what belongs together into one.")
  end
end
