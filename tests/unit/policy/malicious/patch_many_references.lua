-- hook: retrieval.results
-- expect: error limit continue
local e, row, all = {}, {}, {}
for i = 1, 99 do row[i] = e end
for i = 1, 99 do all[i] = row end
for i = 1, 200 do pcall(patch, '/results', all) end
