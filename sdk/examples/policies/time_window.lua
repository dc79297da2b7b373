-- hook: auth.authorize
-- Questions are answered on weekdays from 6 to 20 o'clock UTC.
if ctx.operation == "chat.ask" or ctx.operation == "chat.query" then
  local hour = now() // 3600 % 24
  local weekday = (now() // 86400 + 3) % 7          -- 0 is Monday: 1970 began on a Thursday
  if weekday > 4 or hour < 6 or hour >= 20 then
    decide.deny(403, "outside_hours", "Questions are answered on weekdays from 6 to 20 o'clock UTC.")
  end
end
