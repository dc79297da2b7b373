-- name: workspaces :many
-- Those that the caller may use, for one who named none.
SELECT id FROM tenancy.workspace WHERE (:workspace_scope::uuid IS NULL OR id = :workspace_scope::uuid) ORDER BY id = :preferred::uuid DESC, id LIMIT 2;

-- name: agents :many
SELECT slug, extract(epoch FROM created_at)::bigint AS created FROM tenancy.agent WHERE workspace_id = :workspace_id AND is_active ORDER BY id LIMIT 1000;

-- name: agent :one
SELECT id, slug, extract(epoch FROM created_at)::bigint AS created FROM tenancy.agent WHERE workspace_id = :workspace_id AND slug = :agent_slug::text;

-- name: registered :many
-- As GET /model-registry tells them, which is not for keys of one workspace.
SELECT json_build_object('id', id, 'object', 'model', 'created', extract(epoch FROM created_at)::bigint, 'owned_by', 'organization', 'organization_id', org_id, 'name', name,
  'type', type, 'version', version, 'format', format, 'model', target, 'config', config, 'file_name', file_name, 'bytes', bytes, 'sha256', sha256,
  'vocab_sha256', vocab_sha256, 'is_active', is_active, 'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS model
FROM models.model WHERE (:registered_id::uuid IS NULL OR id = :registered_id::uuid) AND :workspace_scope::uuid IS NULL ORDER BY id DESC LIMIT 1000;
