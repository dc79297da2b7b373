-- hook: chat.prepare
-- expect: deny
pcall(decide.deny, 403, 'no', 'No.')
decide.continue()
