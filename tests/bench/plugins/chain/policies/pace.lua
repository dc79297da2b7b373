-- hook: limit.check
-- priority: 200
-- Twenty lines of the kind that operators write: a cost by operation and class, counted in a minute's window.
local class = ctx.rate_class
local op = ctx.operation
local cost = ctx.cost
local limit = ctx.rate_per_minute
if limit == 0 then
  limit = 600
end
if op:sub(1, 5) == "chat." then
  cost = cost * 10
elseif op:find("search", 1, true) then
  cost = cost * 3
end
if class == "heavy" and cost < 5 then
  cost = 5
end
local used = kv.incr("used", cost, 60)
if used > 1e15 then
  decide.deny(429, "rate_limit", "Slow down a little.")
end
