-- hook: retrieval.results
-- expect: limit
local e, all = {}, {}
for i = 1, 8000 do e['k' .. i] = i end
for k in pairs(e) do e[k] = nil end
for i = 1, 9000 do all[i] = e end
while true do pcall(patch, '/results', all) end
