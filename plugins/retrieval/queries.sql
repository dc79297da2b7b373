-- name: index_version :one
SELECT version, floor FROM documents.index_version WHERE workspace_id = :workspace_id;

-- name: models_in_use :many
-- The workspace's model first, then those that collections are bound to.
SELECT model, dimensions FROM (
  SELECT 0 AS place, v.model, v.dimensions FROM documents.index_version v WHERE v.workspace_id = :workspace_id
  UNION
  SELECT 1, k.model, k.dimensions FROM documents.collection k
  WHERE k.workspace_id = :workspace_id AND k.model <> (SELECT v.model FROM documents.index_version v WHERE v.workspace_id = :workspace_id)) m
ORDER BY place, model;

-- name: vectors_added :many slow
SELECT chunk_id AS id, vector, added FROM documents.vector
WHERE workspace_id = :workspace_id AND model = :model::text AND (added, chunk_id) > (:added::bigint, :after::uuid) AND added <= :upto::bigint
ORDER BY added, chunk_id LIMIT 1000;

-- name: chunks_removed :many slow
SELECT chunk_id, version FROM documents.removed
WHERE workspace_id = :workspace_id AND (version, chunk_id) > (:version::bigint, :after::uuid) AND version <= :upto::bigint ORDER BY version, chunk_id LIMIT 5000;

-- name: passages :many
SELECT c.id, c.document_id, d.file_name, c.section, c.page, c.start_char, c.end_char, c.text
FROM documents.chunk c JOIN documents.document d ON d.org_id = c.org_id AND d.id = c.document_id
WHERE c.workspace_id = :workspace_id AND c.id = ANY(:ids::uuid[]);

-- name: chunks_of_documents :many slow
SELECT id FROM documents.chunk WHERE workspace_id = :workspace_id AND document_id = ANY(:documents::uuid[]);

-- name: chunks_of_file :many slow
SELECT c.id FROM documents.chunk c JOIN documents.document d ON d.org_id = c.org_id AND d.id = c.document_id
WHERE c.workspace_id = :workspace_id AND d.file_name = :file_name AND (:documents::uuid[] IS NULL OR d.id = ANY(:documents::uuid[]));
