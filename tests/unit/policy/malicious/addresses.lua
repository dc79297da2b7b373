-- hook: chat.prepare
-- expect: continue
for _, v in ipairs{{}, print or assert, ctx, string} do
  assert(not tostring(v):find('0x'), tostring(v))
  assert(not string.format('%s', v):find('0x'))
end
