-- name: search_state :many
-- One row a model in use, the workspace's own first.
SELECT v.version, v.floor, m.model, m.dimensions, s.settings
FROM documents.index_version v
CROSS JOIN LATERAL (
  SELECT 0 AS place, v.model, v.dimensions
  UNION
  SELECT 1, k.model, k.dimensions FROM documents.collection k WHERE k.workspace_id = :workspace_id AND k.model <> v.model) m
LEFT JOIN retrieval.setting s ON s.org_id = v.org_id AND s.workspace_id = v.workspace_id
WHERE v.workspace_id = :workspace_id ORDER BY m.place, m.model;

-- name: settings_get :many
SELECT settings FROM retrieval.setting WHERE workspace_id = :workspace_id;

-- name: settings_put :exec
INSERT INTO retrieval.setting (workspace_id, settings) VALUES (:workspace_id, :body::jsonb)
ON CONFLICT (org_id, workspace_id) DO UPDATE SET settings = EXCLUDED.settings, updated_at = now();

-- name: texts_added :many slow
SELECT id, section, text, language, added FROM documents.chunk
WHERE workspace_id = :workspace_id AND (added, id) > (:added::bigint, :after::uuid) AND added <= :upto::bigint ORDER BY added, id LIMIT 1000;

-- name: vectors_added :many slow
SELECT chunk_id AS id, vector, added FROM documents.vector
WHERE workspace_id = :workspace_id AND model = :model::text AND (added, chunk_id) > (:added::bigint, :after::uuid) AND added <= :upto::bigint
ORDER BY added, chunk_id LIMIT 1000;

-- name: chunks_removed :many slow
SELECT chunk_id AS id, version AS added FROM documents.removed
WHERE workspace_id = :workspace_id AND (version, chunk_id) > (:added::bigint, :after::uuid) AND version <= :upto::bigint ORDER BY version, chunk_id LIMIT 5000;

-- name: passages :many
SELECT c.id, c.document_id, d.file_name, c.section, c.page, c.start_char, c.end_char, c.text, c.language
FROM documents.chunk c JOIN documents.document d ON d.org_id = c.org_id AND d.id = c.document_id
WHERE c.workspace_id = :workspace_id AND c.id = ANY(:ids::uuid[]);

-- name: chunks_of_documents :many slow
SELECT id FROM documents.chunk WHERE workspace_id = :workspace_id AND document_id = ANY(:documents::uuid[]);

-- name: chunks_filtered :many slow
-- metadata: a value is equal or among the values of a list; {"in": […], "gte": …, "lte": …} compares values of one type. It is read once a document.
WITH kept AS MATERIALIZED (
  SELECT d.id FROM documents.document d
  WHERE d.workspace_id = :workspace_id
    AND (:documents::uuid[] IS NULL OR d.id = ANY(:documents::uuid[]))
    AND (:file_name::text IS NULL OR d.file_name = :file_name::text)
    AND (:collections::uuid[] IS NULL OR d.collection_id = ANY(:collections::uuid[]))
    AND NOT EXISTS (
    SELECT 1 FROM jsonb_each(coalesce(:metadata::jsonb, '{}'::jsonb)) f
    WHERE NOT coalesce(CASE
      WHEN jsonb_typeof(f.value) <> 'object' THEN d.metadata->f.key = f.value OR (jsonb_typeof(d.metadata->f.key) = 'array' AND d.metadata->f.key @> f.value)
      ELSE (NOT f.value ? 'in' OR EXISTS (
              SELECT 1 FROM jsonb_array_elements(f.value->'in') v
              WHERE v.value = d.metadata->f.key OR (jsonb_typeof(d.metadata->f.key) = 'array' AND d.metadata->f.key @> v.value)))
           AND (NOT f.value ? 'gte' OR (jsonb_typeof(d.metadata->f.key) = jsonb_typeof(f.value->'gte') AND d.metadata->f.key >= f.value->'gte'))
           AND (NOT f.value ? 'lte' OR (jsonb_typeof(d.metadata->f.key) = jsonb_typeof(f.value->'lte') AND d.metadata->f.key <= f.value->'lte'))
      END, false)))
SELECT c.id FROM documents.chunk c JOIN kept ON kept.id = c.document_id
WHERE c.workspace_id = :workspace_id AND (:language::text IS NULL OR c.language = :language::text);

-- name: chunks_kept :many
-- Which of these chunks chunks_filtered would list.
SELECT c.id FROM documents.chunk c JOIN documents.document d ON d.org_id = c.org_id AND d.id = c.document_id
WHERE c.workspace_id = :workspace_id AND c.id = ANY(:ids::uuid[])
  AND (:documents::uuid[] IS NULL OR d.id = ANY(:documents::uuid[]))
  AND (:file_name::text IS NULL OR d.file_name = :file_name::text)
  AND (:collections::uuid[] IS NULL OR d.collection_id = ANY(:collections::uuid[]))
  AND (:language::text IS NULL OR c.language = :language::text)
  AND NOT EXISTS (
    SELECT 1 FROM jsonb_each(coalesce(:metadata::jsonb, '{}'::jsonb)) f
    WHERE NOT coalesce(CASE
      WHEN jsonb_typeof(f.value) <> 'object' THEN d.metadata->f.key = f.value OR (jsonb_typeof(d.metadata->f.key) = 'array' AND d.metadata->f.key @> f.value)
      ELSE (NOT f.value ? 'in' OR EXISTS (
              SELECT 1 FROM jsonb_array_elements(f.value->'in') v
              WHERE v.value = d.metadata->f.key OR (jsonb_typeof(d.metadata->f.key) = 'array' AND d.metadata->f.key @> v.value)))
           AND (NOT f.value ? 'gte' OR (jsonb_typeof(d.metadata->f.key) = jsonb_typeof(f.value->'gte') AND d.metadata->f.key >= f.value->'gte'))
           AND (NOT f.value ? 'lte' OR (jsonb_typeof(d.metadata->f.key) = jsonb_typeof(f.value->'lte') AND d.metadata->f.key <= f.value->'lte'))
      END, false));
