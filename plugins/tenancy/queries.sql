-- Organizations. The row of the call's organization is the only one that any of these can see. A key that is bound to a workspace (:workspace_scope)
-- reads its organization and changes nothing there.

-- name: organization_create :one
INSERT INTO tenancy.organization (slug, name, plan_tier, settings, contact_name, contact_email, max_workspaces, max_documents_per_workspace)
SELECT :slug, :name, :plan::text, :settings, :contact_name, :contact_email,
       CASE WHEN :body::jsonb ? 'max_workspaces' THEN (:body::jsonb ->> 'max_workspaces')::bigint ELSE :plan_workspaces::bigint END,
       CASE WHEN :body::jsonb ? 'max_documents_per_workspace' THEN (:body::jsonb ->> 'max_documents_per_workspace')::bigint ELSE :plan_documents::bigint END
RETURNING org_id AS id, name, slug, plan_tier, status, settings, contact_name, contact_email, max_workspaces, max_documents_per_workspace,
          created_at, updated_at, version AS _etag;

-- name: organization_get :one
SELECT org_id AS id, name, slug, plan_tier, status, settings, contact_name, contact_email, max_workspaces, max_documents_per_workspace,
       created_at, updated_at, version AS _etag
FROM tenancy.organization WHERE org_id = :organization_id;

-- name: organization_read :one
SELECT org_id AS id, name, slug, plan_tier, status, settings, contact_name, contact_email, max_workspaces, max_documents_per_workspace,
       created_at, updated_at
FROM tenancy.organization WHERE org_id = mt.org_id();

-- name: organization_ids :many
SELECT id FROM mt.list_organizations(:before::uuid, :count::integer);

-- name: organization_update :one
UPDATE tenancy.organization o
SET (slug, name, settings, contact_name, contact_email, plan_tier, max_workspaces, max_documents_per_workspace, version, updated_at) =
    (SELECT p.slug, p.name, p.settings, p.contact_name, p.contact_email, coalesce(:plan::text, o.plan_tier),
            CASE WHEN :body::jsonb ? 'max_workspaces' THEN p.max_workspaces
                 WHEN :plan::text IS NOT NULL THEN :plan_workspaces::bigint ELSE o.max_workspaces END,
            CASE WHEN :body::jsonb ? 'max_documents_per_workspace' THEN p.max_documents_per_workspace
                 WHEN :plan::text IS NOT NULL THEN :plan_documents::bigint ELSE o.max_documents_per_workspace END,
            mt.next_version(o.version, :if_match), now()
       FROM jsonb_populate_record(o, :body::jsonb) p)
WHERE o.org_id = :organization_id AND :workspace_scope::uuid IS NULL
RETURNING o.org_id AS id, o.name, o.slug, o.plan_tier, o.status, o.settings, o.contact_name, o.contact_email, o.max_workspaces,
          o.max_documents_per_workspace, o.created_at, o.updated_at, o.version AS _etag;

-- name: limits_asked :one
SELECT CASE WHEN :body::jsonb ? 'plan_tier' THEN '/plan_tier' WHEN :body::jsonb ? 'max_workspaces' THEN '/max_workspaces'
            WHEN :body::jsonb ? 'max_documents_per_workspace' THEN '/max_documents_per_workspace' END AS pointer;

-- name: organization_limits :exec write
SELECT mt.quota_set(org_id, 'workspaces', max_workspaces), mt.quota_set(org_id, 'documents', max_documents_per_workspace),
       mt.quota_set(org_id, 'requests', :plan_requests::bigint)
FROM tenancy.organization WHERE org_id = mt.org_id();

-- name: platform_keys :one
SELECT count(*) AS keys FROM tenancy.api_key WHERE platform;

-- name: organization_delete :exec
DELETE FROM tenancy.organization WHERE org_id = :organization_id AND :workspace_scope::uuid IS NULL;

-- Workspaces

-- name: workspace_list :many cursor=id
SELECT id, org_id AS organization_id, name, slug, description, settings, created_at, updated_at
FROM tenancy.workspace WHERE (id = :workspace_scope::uuid OR :workspace_scope::uuid IS NULL) AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: workspace_create :one
INSERT INTO tenancy.workspace (id, slug, name, description, settings)
SELECT :new_id, :slug, :name, :description, :settings WHERE :workspace_scope::uuid IS NULL
RETURNING id, org_id AS organization_id, name, slug, description, settings, created_at, updated_at, version AS _etag;

-- name: workspace_get :one
SELECT id, org_id AS organization_id, name, slug, description, settings, created_at, updated_at, version AS _etag
FROM tenancy.workspace WHERE id = :workspace_id;

-- name: workspace_update :one
UPDATE tenancy.workspace w
SET (slug, name, description, settings, version, updated_at) =
    (SELECT p.slug, p.name, p.description, p.settings, mt.next_version(w.version, :if_match), now()
       FROM jsonb_populate_record(w, :body::jsonb) p)
WHERE w.id = :workspace_id
RETURNING w.id, w.org_id AS organization_id, w.name, w.slug, w.description, w.settings, w.created_at, w.updated_at, w.version AS _etag;

-- name: workspace_ids :many write
SELECT id FROM tenancy.workspace WHERE :of_workspace::uuid IS NULL OR id = :of_workspace FOR UPDATE;

-- name: workspace_delete :exec
DELETE FROM tenancy.workspace WHERE id = :workspace_id;

-- Agents

-- name: agent_list :many cursor=id
SELECT id, workspace_id, name, slug, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools,
       tool_config, is_active, created_at, updated_at
FROM tenancy.agent WHERE workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: agent_create :one write
WITH made AS (
  INSERT INTO tenancy.agent (workspace_id, id, slug, name, description, system_prompt, model_provider, model_name, temperature, enabled_tools,
                             tool_config, is_active)
  VALUES (:workspace_id, :new_id, :slug, :name, :description, :system_prompt, :model_provider, :model_name, :temperature, :enabled_tools,
          :tool_config, :is_active)
  RETURNING id, workspace_id, name, slug, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools,
       tool_config, is_active, created_at, updated_at, version),
kept AS (INSERT INTO tenancy.agent_prompt (agent_id, number, id, system_prompt, created_by) SELECT id, 1, :new_id, system_prompt, :subject_id FROM made)
SELECT id, workspace_id, name, slug, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools,
       tool_config, is_active, created_at, updated_at, version AS _etag FROM made;

-- name: agent_get :one
SELECT id, workspace_id, name, slug, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools,
       tool_config, is_active, created_at, updated_at, version AS _etag
FROM tenancy.agent WHERE workspace_id = :workspace_id AND id = :agent_id;

-- name: agent_update :one write
-- Another system prompt is another version of it.
WITH made AS (
  UPDATE tenancy.agent a
  SET (slug, name, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools, tool_config, is_active, version,
       updated_at) =
      (SELECT p.slug, p.name, p.description, p.system_prompt, a.prompt_version + (p.system_prompt IS DISTINCT FROM a.system_prompt)::int, p.model_provider,
              p.model_name, p.temperature, p.enabled_tools, p.tool_config, p.is_active, mt.next_version(a.version, :if_match), now()
         FROM jsonb_populate_record(a, :body::jsonb) p)
  WHERE a.workspace_id = :workspace_id AND a.id = :agent_id
  RETURNING id, workspace_id, name, slug, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools,
       tool_config, is_active, created_at, updated_at, version),
kept AS (INSERT INTO tenancy.agent_prompt (agent_id, number, id, system_prompt, created_by)
         SELECT id, prompt_version, :new_id, system_prompt, :subject_id FROM made
         ON CONFLICT (org_id, agent_id, number) DO NOTHING)
SELECT id, workspace_id, name, slug, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools,
       tool_config, is_active, created_at, updated_at, version AS _etag FROM made;

-- name: prompt_list :many cursor=id
SELECT p.id, p.agent_id, p.number, p.system_prompt, p.number = a.prompt_version AS is_current, p.created_by, p.created_at
FROM tenancy.agent_prompt p JOIN tenancy.agent a ON a.org_id = p.org_id AND a.id = p.agent_id
WHERE a.workspace_id = :workspace_id AND p.agent_id = :agent_id AND p.id < :cursor ORDER BY p.id DESC LIMIT :limit;

-- name: prompt_get :one
SELECT p.id, p.agent_id, p.number, p.system_prompt, p.number = a.prompt_version AS is_current, p.created_by, p.created_at
FROM tenancy.agent_prompt p JOIN tenancy.agent a ON a.org_id = p.org_id AND a.id = p.agent_id
WHERE a.workspace_id = :workspace_id AND p.agent_id = :agent_id AND p.number = :number::text::integer;

-- name: prompt_restore :one write
WITH made AS (
  UPDATE tenancy.agent a SET system_prompt = p.system_prompt, prompt_version = a.prompt_version + 1, version = mt.next_version(a.version, :if_match),
         updated_at = now()
  FROM tenancy.agent_prompt p
  WHERE a.workspace_id = :workspace_id AND a.id = :agent_id AND p.org_id = a.org_id AND p.agent_id = a.id AND p.number = :number::text::integer
  RETURNING a.id, a.workspace_id, a.name, a.slug, a.description, a.system_prompt, a.prompt_version, a.model_provider, a.model_name, a.temperature, a.enabled_tools, a.tool_config, a.is_active, a.created_at, a.updated_at, a.version),
kept AS (INSERT INTO tenancy.agent_prompt (agent_id, number, id, system_prompt, created_by)
         SELECT id, prompt_version, :new_id, system_prompt, :subject_id FROM made)
SELECT id, workspace_id, name, slug, description, system_prompt, prompt_version, model_provider, model_name, temperature, enabled_tools,
       tool_config, is_active, created_at, updated_at, version AS _etag FROM made;

-- name: agent_delete :exec
DELETE FROM tenancy.agent WHERE workspace_id = :workspace_id AND id = :agent_id;

-- API keys

-- name: key_create :one
INSERT INTO tenancy.api_key (id, workspace_id, name, key_prefix, hash, scopes, rate_per_minute, expires_at, created_by)
SELECT :id::uuid, :in_workspace::uuid, :name, :key_prefix::text, :hash::bytea, :scopes, :rate_limit_per_minute, :expires_at, :created_by::uuid
WHERE :in_workspace::uuid IS NOT NULL OR :workspace_scope::uuid IS NULL
RETURNING id, name, key_prefix, workspace_id, scopes, rate_per_minute AS rate_limit_per_minute, is_active, expires_at, created_at;

-- name: key_list :many cursor=id
SELECT k.id, k.name, k.key_prefix, k.workspace_id, k.scopes, k.rate_per_minute AS rate_limit_per_minute, k.is_active, k.expires_at, u.last_used_at, k.created_at
FROM tenancy.api_key k LEFT JOIN tenancy.api_key_use u ON u.org_id = k.org_id AND u.key_id = k.id
WHERE k.workspace_id = :workspace_id AND k.id < :cursor ORDER BY k.id DESC LIMIT :limit;

-- name: key_revoke :exec
UPDATE tenancy.api_key SET is_active = false WHERE workspace_id = :workspace_id AND id = :key_id;

-- name: organization_key_list :many cursor=id
SELECT k.id, k.name, k.key_prefix, k.workspace_id, k.scopes, k.rate_per_minute AS rate_limit_per_minute, k.is_active, k.expires_at, u.last_used_at, k.created_at
FROM tenancy.api_key k LEFT JOIN tenancy.api_key_use u ON u.org_id = k.org_id AND u.key_id = k.id
WHERE k.workspace_id IS NULL AND :workspace_scope::uuid IS NULL AND k.id < :cursor ORDER BY k.id DESC LIMIT :limit;

-- name: organization_key_revoke :exec
UPDATE tenancy.api_key SET is_active = false WHERE workspace_id IS NULL AND id = :key_id AND :workspace_scope::uuid IS NULL;

-- name: key_used :exec
INSERT INTO tenancy.api_key_use (key_id, last_used_at) SELECT id, now() FROM tenancy.api_key WHERE id = :key_id::uuid
ON CONFLICT (org_id, key_id) DO UPDATE SET last_used_at = excluded.last_used_at;

-- The first start. Whoever inserts the organization makes the rest; a second host waits for it here and finds it done.

-- name: provision_organization :many write
INSERT INTO tenancy.organization (slug, name, plan_tier) VALUES ('default', 'Default organization', 'enterprise')
ON CONFLICT DO NOTHING RETURNING org_id;

-- name: provision_workspace :exec
INSERT INTO tenancy.workspace (id, slug, name) VALUES (:id::uuid, 'default', 'Default workspace');

-- name: provision_agent :exec
WITH made AS (
  INSERT INTO tenancy.agent (workspace_id, id, slug, name, system_prompt, temperature, enabled_tools, tool_config)
  VALUES (:in_workspace::uuid, :id::uuid, 'default', 'Default agent', 'You answer questions from the documents you are given, and say so when they hold no answer.',
          0.7, '{vector_search}', '{}') RETURNING id, system_prompt)
INSERT INTO tenancy.agent_prompt (agent_id, number, id, system_prompt) SELECT id, 1, id, system_prompt FROM made;

-- name: provision_key :exec
INSERT INTO tenancy.api_key (id, name, key_prefix, hash, scopes, platform)
VALUES (:id::uuid, 'Administrator', :key_prefix::text, :hash::bytea, '{admin}', true);
