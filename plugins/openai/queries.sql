-- name: workspaces :many
-- Those that the caller may use, for one who named none.
SELECT id FROM tenancy.workspace WHERE (:workspace_scope::uuid IS NULL OR id = :workspace_scope::uuid) ORDER BY id = :preferred::uuid DESC, id LIMIT 2;

-- name: agents :many
SELECT slug, extract(epoch FROM created_at)::bigint AS created FROM tenancy.agent WHERE workspace_id = :workspace_id AND is_active ORDER BY id LIMIT 1000;

-- name: agent :one
SELECT id, slug, extract(epoch FROM created_at)::bigint AS created FROM tenancy.agent WHERE workspace_id = :workspace_id AND slug = :agent_slug::text;
