-- hook: chat.prepare
-- expect: continue
for _, name in ipairs{'load', 'loadstring', 'dofile', 'loadfile', 'require', 'package', 'os', 'io', 'debug',
                      'collectgarbage', 'coroutine', 'print', 'rawset', 'xpcall', '_G', 'warn', 'utf8'} do
  assert(_ENV[name] == nil, name)
end
assert(string.dump == nil and string.pack == nil and math.random == nil and table.move == nil)
