-- name: session_list :many cursor=id
SELECT id, workspace_id, agent_id, title, metadata, created_at FROM chat.session
WHERE workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: session_get :one
SELECT id, workspace_id, agent_id, title, metadata, created_at FROM chat.session WHERE workspace_id = :workspace_id AND id = :session_id;

-- name: session_delete :exec
DELETE FROM chat.session WHERE workspace_id = :workspace_id AND id = :session_id;

-- name: message_list :many cursor=id
SELECT m.id, m.role, m.content, m.sources, m.confidence, m.finish, m.created_at
FROM chat.message m JOIN chat.session s ON s.org_id = m.org_id AND s.id = m.session_id
WHERE s.workspace_id = :workspace_id AND m.session_id = :session_id AND m.id < :cursor ORDER BY m.id DESC LIMIT :limit;

-- name: session_add :exec
INSERT INTO chat.session (workspace_id, id, agent_id, subject_id, title) VALUES (:workspace_id, :id, :agent, :subject, :title);

-- name: message_add :exec
INSERT INTO chat.message (session_id, id, role, content, sources, confidence, finish)
VALUES (:session, :id, :role, :content, :sources::jsonb, :confidence::float8, :finish);

-- name: history :many
SELECT m.role, m.content FROM chat.message m WHERE m.session_id = :session::uuid ORDER BY m.id DESC LIMIT :count::int;

-- name: agent :one
SELECT id, system_prompt, model_name, temperature, is_active FROM tenancy.agent WHERE workspace_id = :workspace_id AND id = :agent::uuid;
