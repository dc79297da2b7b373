-- A key that is bound to a workspace (:workspace_scope) has no part in what holds for the whole organization: it finds nothing here.

-- name: policy_list :many cursor=id
SELECT p.id, p.name, v.hook, v.priority, p.latest_version, p.enabled_version, p.shadow_version, p.record, coalesce(s.same, 0) AS shadow_same,
       coalesce(s.differs, 0) AS shadow_differs, p.created_by, p.created_at, p.updated_at
FROM policies.policy p
JOIN policies.policy_version v ON v.policy_id = p.id AND v.number = coalesce(p.enabled_version, p.shadow_version, p.latest_version)
LEFT JOIN policies.shadow_count s ON s.policy_id = p.id AND s.number = p.shadow_version
WHERE p.id < :cursor AND :workspace_scope::uuid IS NULL ORDER BY p.id DESC LIMIT :limit;

-- name: policy_get :one
SELECT p.id, p.name, v.hook, v.priority, p.latest_version, p.enabled_version, p.shadow_version, p.record, coalesce(s.same, 0) AS shadow_same,
       coalesce(s.differs, 0) AS shadow_differs, p.created_by, p.created_at, p.updated_at, p.version AS _etag
FROM policies.policy p
JOIN policies.policy_version v ON v.policy_id = p.id AND v.number = coalesce(p.enabled_version, p.shadow_version, p.latest_version)
LEFT JOIN policies.shadow_count s ON s.policy_id = p.id AND s.number = p.shadow_version
WHERE p.id = :policy_id AND :workspace_scope::uuid IS NULL;

-- Few, so that a call's handlers stay few; the host takes no more than 64.
-- name: policy_room :one
SELECT room FROM (SELECT count(*) < 32 AS room FROM policies.policy) n WHERE :workspace_scope::uuid IS NULL;

-- name: policy_add :exec
INSERT INTO policies.policy (id, name, record) VALUES (:policy_id, :name, :record);

-- name: version_add :exec
INSERT INTO policies.policy_version (policy_id, number, id, hook, priority, source)
VALUES (:policy_id, :number::integer, :version_id, :hook, :priority::integer, :source);

-- name: policy_next :one
UPDATE policies.policy SET latest_version = latest_version + 1, version = version + 1, updated_at = now()
WHERE id = :policy_id AND :workspace_scope::uuid IS NULL RETURNING name, latest_version AS number;

-- The texts of the newest fifty, and of those that run.
-- name: version_prune :exec
DELETE FROM policies.policy_version v USING policies.policy p
WHERE p.id = :policy_id AND v.policy_id = p.id AND v.number <= p.latest_version - 50
  AND v.number IS DISTINCT FROM p.enabled_version AND v.number IS DISTINCT FROM p.shadow_version;

-- name: policy_update :one
UPDATE policies.policy o
SET (name, enabled_version, shadow_version, record, version, updated_at) =
    (SELECT p.name, p.enabled_version, p.shadow_version, p.record, mt.next_version(o.version, :if_match), now()
       FROM jsonb_populate_record(o, :body::jsonb) p)
WHERE o.id = :policy_id AND :workspace_scope::uuid IS NULL RETURNING o.id;

-- name: policy_hooks :one
SELECT count(DISTINCT v.hook) AS hooks FROM policies.policy p
JOIN policies.policy_version v ON v.policy_id = p.id AND v.number IN (p.enabled_version, p.shadow_version) WHERE p.id = :policy_id;

-- name: policy_delete :exec
DELETE FROM policies.policy WHERE id = :policy_id AND :workspace_scope::uuid IS NULL;

-- name: version_list :many cursor=id
SELECT id, number, hook, priority, created_by, created_at
FROM policies.policy_version WHERE policy_id = :policy_id AND id < :cursor AND :workspace_scope::uuid IS NULL ORDER BY id DESC LIMIT :limit;

-- name: version_get :one
SELECT id, number, hook, priority, source, created_by, created_at
FROM policies.policy_version WHERE policy_id = :policy_id AND number = :number::integer AND :workspace_scope::uuid IS NULL;

-- name: decision_list :many cursor=id
-- custom
SELECT id, version, shadow_version, hook, operation, request_id, ctx, decision, shadow, differs, created_at
FROM policies.decision WHERE policy_id = :policy_id AND id < :cursor AND :workspace_scope::uuid IS NULL AND (:differs::boolean IS NULL OR differs = :differs)
ORDER BY id DESC LIMIT :limit;

-- name: whole_organization :one
SELECT true AS whole WHERE :workspace_scope::uuid IS NULL;

-- For the host

-- name: running :one
SELECT coalesce(json_agg(json_build_object('id', p.id, 'name', p.name, 'record', p.record,
         'enabled', CASE WHEN e.number IS NOT NULL THEN json_build_object('version', e.number, 'source', e.source) END,
         'shadow', CASE WHEN s.number IS NOT NULL THEN json_build_object('version', s.number, 'source', s.source) END) ORDER BY p.id), '[]')::text AS policies
FROM policies.policy p
LEFT JOIN policies.policy_version e ON e.policy_id = p.id AND e.number = p.enabled_version
LEFT JOIN policies.policy_version s ON s.policy_id = p.id AND s.number = p.shadow_version
WHERE p.enabled_version IS NOT NULL OR p.shadow_version IS NOT NULL;

-- name: records :one
SELECT coalesce(json_agg(json_build_object('id', id, 'ctx', ctx, 'decision', decision) ORDER BY id), '[]')::text AS records
FROM policies.decision WHERE policy_id = :policy_id;

-- What names a policy or version that is gone by now is left out.
-- name: count_add :exec
INSERT INTO policies.shadow_count AS s (policy_id, number, same, differs)
SELECT n.policy_id, n.version, n.same, n.differs
FROM jsonb_to_recordset(:given::jsonb -> 'counts') AS n(policy_id uuid, version integer, same bigint, differs bigint)
JOIN policies.policy_version v ON v.policy_id = n.policy_id AND v.number = n.version
ON CONFLICT (org_id, policy_id, number) DO UPDATE SET same = s.same + excluded.same, differs = s.differs + excluded.differs;

-- name: decision_add :exec
INSERT INTO policies.decision (id, policy_id, version, shadow_version, hook, operation, request_id, ctx, decision, shadow, differs)
SELECT n.id, n.policy_id, n.version, n.shadow_version, n.hook, n.operation, n.request_id, nullif(n.ctx, 'null'), n.decision, nullif(n.shadow, 'null'), n.differs
FROM jsonb_to_recordset(:given::jsonb -> 'notes') AS n(id uuid, policy_id uuid, version integer, shadow_version integer, hook text, operation text,
       request_id uuid, ctx jsonb, decision jsonb, shadow jsonb, differs boolean)
JOIN policies.policy p ON p.id = n.policy_id;

-- name: decision_prune :exec
DELETE FROM policies.decision WHERE id <= (SELECT id FROM policies.decision ORDER BY id DESC OFFSET 1000 LIMIT 1);
