-- hook: limit.check
-- A day's budget of the organization: a question costs 10, a document 5, a search 1.
local costs = { ["chat.ask"] = 10, ["chat.query"] = 10, ["openai.chat"] = 10, ["documents.upload"] = 5, ["retrieval.search"] = 1 }
local budget = 5000

local cost = costs[ctx.operation]
if cost then
  local spent = kv.incr("spent:" .. now() // 86400, cost, 86400)
  if not spent or spent > budget then
    decide.deny(429, "budget_used", "Today's budget is used up: it begins anew at midnight UTC.")
  end
end
