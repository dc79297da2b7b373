-- hook: chat.prepare
-- expect: error
patch('/workspace_id', 'other')
