-- name: policy :many
SELECT default_model, to_json(allowed_models) AS allowed, max_input_tokens, max_output_tokens FROM models.settings WHERE workspace_id = :workspace_id::uuid;

-- name: settings_get :one
SELECT w.id AS workspace_id, s.default_model, s.allowed_models, s.max_input_tokens, s.max_output_tokens, coalesce(s.version, 0) AS _etag
FROM tenancy.workspace w LEFT JOIN models.settings s ON s.org_id = w.org_id AND s.workspace_id = w.id WHERE w.id = :workspace_id;

-- name: settings_put :one
INSERT INTO models.settings AS s (workspace_id, default_model, allowed_models, max_input_tokens, max_output_tokens)
VALUES (:workspace_id, :default_model, :allowed_models, :max_input_tokens, :max_output_tokens)
ON CONFLICT (org_id, workspace_id) DO UPDATE SET default_model = excluded.default_model, allowed_models = excluded.allowed_models,
  max_input_tokens = excluded.max_input_tokens, max_output_tokens = excluded.max_output_tokens, version = mt.next_version(s.version, :if_match)
RETURNING workspace_id, default_model, allowed_models, max_input_tokens, max_output_tokens, version AS _etag;

-- name: usage_add :exec
INSERT INTO models.usage AS u (day, model, provider, calls, errors, cancelled, input_tokens, cached_tokens, output_tokens, cost_microusd, latency)
VALUES (date '1970-01-01' + :days::int, :model, :provider, :calls::bigint, :errors::bigint, :cancelled::bigint, :input_tokens::bigint, :cached_tokens::bigint,
        :output_tokens::bigint, :cost_microusd::bigint, :latency::bigint[])
ON CONFLICT (org_id, day, model, provider) DO UPDATE SET calls = u.calls + excluded.calls, errors = u.errors + excluded.errors,
  cancelled = u.cancelled + excluded.cancelled, input_tokens = u.input_tokens + excluded.input_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
  output_tokens = u.output_tokens + excluded.output_tokens, cost_microusd = u.cost_microusd + excluded.cost_microusd,
  latency = (SELECT array_agg(a + b ORDER BY n) FROM unnest(u.latency, excluded.latency) WITH ORDINALITY AS t (a, b, n));

-- name: usage_list :many
SELECT day::text AS day, model, provider, calls, errors, cancelled, input_tokens, cached_tokens, output_tokens, cost_microusd, to_json(latency) AS latency
FROM models.usage WHERE day BETWEEN (:from::text)::date AND (:to::text)::date AND :workspace_scope::uuid IS NULL ORDER BY day DESC, model, provider LIMIT 1000;

-- What belongs to the whole organization is not for keys of one workspace.

-- name: model_add :one
INSERT INTO models.model (id, name, type, version, format, target, config, file_name, bytes, sha256, vocab_sha256)
SELECT :new_id::uuid, :name::text, :type::text, :version::text, :format::text, :target::text, :config::jsonb, :file_name::text, :bytes::bigint, :sha256::text, :vocab_sha256::text
WHERE :workspace_scope::uuid IS NULL
RETURNING id, org_id AS organization_id, name, type, version, format, target AS model, config, file_name, bytes, sha256, vocab_sha256, is_active, created_at;

-- name: model_list :many cursor=id
SELECT id, org_id AS organization_id, name, type, version, format, target AS model, config, file_name, bytes, sha256, vocab_sha256, is_active, created_at
FROM models.model WHERE id < :cursor AND :workspace_scope::uuid IS NULL ORDER BY id DESC LIMIT :limit;

-- name: model_get :one
SELECT id, org_id AS organization_id, name, type, version, format, target AS model, config, file_name, bytes, sha256, vocab_sha256, is_active, created_at FROM models.model WHERE id = :model_id AND :workspace_scope::uuid IS NULL;

-- name: model_switch :one write
UPDATE models.model SET is_active = :active::boolean WHERE id = :model_id AND :workspace_scope::uuid IS NULL
RETURNING id, org_id AS organization_id, name, type, version, format, target AS model, config, file_name, bytes, sha256, vocab_sha256, is_active, created_at;

-- name: model_delete :one write
DELETE FROM models.model WHERE id = :model_id AND :workspace_scope::uuid IS NULL RETURNING name, format;

-- name: files_named :many
SELECT sha256 || '.' || format AS file FROM models.model WHERE sha256 IS NOT NULL UNION ALL SELECT vocab_sha256 || '.vocab' FROM models.model WHERE vocab_sha256 IS NOT NULL;

-- name: model_by_name :many
SELECT target, sha256 FROM models.model WHERE name = :name AND is_active AND format <> 'onnx';

-- name: model_at :many
SELECT name FROM models.model WHERE is_active AND format <> 'onnx' ORDER BY id LIMIT 1 OFFSET :index::bigint;
