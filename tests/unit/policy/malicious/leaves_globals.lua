-- hook: chat.prepare
-- expect: continue
leaked = 'secret'
_ENV.leaked_too = {}
assert = nil
string = {}
decide = nil
