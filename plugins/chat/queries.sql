-- name: session_create :one
INSERT INTO chat.session (workspace_id, id, agent_id, subject_id, title, metadata)
SELECT :workspace_id, :new_id, :agent_id, :subject_id, :title, :metadata
WHERE :agent_id::uuid IS NULL OR EXISTS (SELECT 1 FROM tenancy.agent a WHERE a.workspace_id = :workspace_id AND a.id = :agent_id)
RETURNING id, workspace_id, agent_id, title, metadata, created_at, version AS _etag;

-- name: session_list :many cursor=id
SELECT id, workspace_id, agent_id, title, metadata, created_at FROM chat.session
WHERE workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: session_get :one
SELECT id, workspace_id, agent_id, title, metadata, created_at, version AS _etag FROM chat.session WHERE workspace_id = :workspace_id AND id = :session_id;

-- name: session_update :one
UPDATE chat.session s
SET (title, metadata, version) = (SELECT p.title, p.metadata, mt.next_version(s.version, :if_match) FROM jsonb_populate_record(s, :body::jsonb) p)
WHERE s.workspace_id = :workspace_id AND s.id = :session_id
RETURNING s.id, s.workspace_id, s.agent_id, s.title, s.metadata, s.created_at, s.version AS _etag;

-- name: session_delete :exec
DELETE FROM chat.session WHERE workspace_id = :workspace_id AND id = :session_id;

-- name: message_list :many cursor=id
SELECT m.id, m.role, m.content, m.sources, m.citations, m.unsupported, m.confidence, m.finish, m.language, m.usage, m.agent_id, m.prompt_version, m.created_at
FROM chat.message m JOIN chat.session s ON s.org_id = m.org_id AND s.id = m.session_id
WHERE s.workspace_id = :workspace_id AND m.session_id = :session_id AND m.id < :cursor ORDER BY m.id DESC LIMIT :limit;

-- name: session_add :exec
INSERT INTO chat.session (workspace_id, id, agent_id, subject_id, title) VALUES (:workspace_id, :id, :agent, :subject, :title);

-- name: session_title :exec
UPDATE chat.session SET title = :title, version = version + 1 WHERE id = :id::uuid AND title = '';

-- name: question_add :exec
INSERT INTO chat.message (session_id, id, role, content) VALUES (:session, :id, 'user', :content);

-- name: answer_add :exec
INSERT INTO chat.message (session_id, id, role, content, sources, citations, unsupported, confidence, finish, language, usage, agent_id, prompt_version)
SELECT :session::uuid, :id::uuid, 'assistant', a.answer, a.sources, a.citations, a.unsupported, a.confidence, a.finish, a.language, a.usage, a.agent_id, a.prompt_version
FROM jsonb_to_record(:said::jsonb) AS a(answer text, sources jsonb, citations jsonb, unsupported jsonb, confidence float8, finish text, language text, usage jsonb,
                                        agent_id uuid, prompt_version integer);

-- name: history :many
SELECT m.role, m.content FROM chat.message m WHERE m.session_id = :session::uuid ORDER BY m.id DESC LIMIT 100;

-- name: agent :one
SELECT id, system_prompt, model_name, temperature, to_jsonb(enabled_tools) AS tools, tool_config, prompt_version, is_active
FROM tenancy.agent WHERE workspace_id = :workspace_id AND id = :agent::uuid;
