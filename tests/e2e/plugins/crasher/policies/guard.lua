-- hook: limit.check
-- A guard of a plugin that crashes: it lets everything pass.
decide.continue()
