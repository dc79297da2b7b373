-- name: document_list :many cursor=id
SELECT id, workspace_id, file_name, content_type, title, bytes, status, reason, chunk_count, created_at, indexed_at
FROM documents.document WHERE workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: document_get :one
SELECT id, workspace_id, file_name, content_type, title, bytes, sha256, status, reason, chunk_count, created_at, indexed_at, version AS _etag
FROM documents.document WHERE workspace_id = :workspace_id AND id = :document_id;

-- name: document_text :one
SELECT id, substr(coalesce(content, ''), :start::int + 1, :end::int - :start::int) AS text, char_length(coalesce(content, '')) AS characters
FROM documents.document WHERE workspace_id = :workspace_id AND id = :document_id;

-- name: chunk_list :many cursor=id
SELECT id, document_id, number, section, page, start_char, end_char, tokens, text
FROM documents.chunk WHERE document_id = :document_id AND workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: document_add :many
INSERT INTO documents.document (workspace_id, id, sha256, file_name, content_type, bytes)
VALUES (:workspace_id, :id, :sha256, :file_name, :content_type, :bytes)
ON CONFLICT (org_id, workspace_id, sha256) DO NOTHING RETURNING id;

-- name: document_same :one
SELECT id, status FROM documents.document WHERE workspace_id = :workspace_id AND sha256 = :sha256;

-- name: document_again :exec
UPDATE documents.document SET status = 'queued', reason = NULL, attempts = 0 WHERE id = :id AND status = 'failed';

-- name: document_state :one
SELECT id, workspace_id, file_name, content_type, title, bytes, status, reason, chunk_count, created_at, indexed_at
FROM documents.document WHERE id = :id;

-- name: documents_open :one
SELECT count(*) AS n FROM documents.document WHERE id = ANY(:ids::uuid[]) AND status IN ('queued', 'indexing');

-- name: document_take :one
SELECT id, sha256, file_name, content_type, status FROM documents.document WHERE id = :id;

-- name: document_indexing :exec
-- The last attempt counts as failed until it succeeds: should the host end under it, nobody is left to write the reason.
UPDATE documents.document SET status = CASE WHEN attempts >= 4 THEN 'failed' ELSE 'indexing' END, attempts = attempts + 1,
       reason = CASE WHEN attempts >= 4 THEN 'It was given up after five attempts: the host ended while it read the file. Upload it again to retry.' END
WHERE id = :id AND status <> 'indexed';

-- name: document_waits :exec
UPDATE documents.document SET status = CASE WHEN attempts >= 5 THEN 'failed' ELSE 'queued' END, reason = :reason WHERE id = :id AND status <> 'indexed';

-- name: document_failed :exec
UPDATE documents.document SET status = 'failed', reason = :reason, version = version + 1 WHERE id = :id;

-- name: document_model :one
-- What the document is embedded with: its collection's model or the workspace's; NULL before the workspace has one.
SELECT coalesce(k.model, v.model) AS model, v.model AS usual
FROM documents.document d LEFT JOIN documents.collection k ON k.org_id = d.org_id AND k.id = d.collection_id
LEFT JOIN documents.index_version v ON v.org_id = d.org_id AND v.workspace_id = d.workspace_id WHERE d.id = :id;

-- name: document_lock :one write
-- After version_next: from here to the commit neither the document's collection nor the workspace's model changes.
SELECT coalesce((SELECT k.model FROM documents.collection k WHERE k.org_id = d.org_id AND k.id = d.collection_id), :usual::text) AS model
FROM documents.document d WHERE d.id = :id FOR UPDATE;

-- name: version_next :one write
INSERT INTO documents.index_version AS v (workspace_id, version, model, dimensions) VALUES (:workspace_id, 1, :model, :dimensions)
ON CONFLICT (org_id, workspace_id) DO UPDATE SET version = v.version + 1 RETURNING version, model, dimensions;

-- name: chunks_drop :exec
WITH gone AS (DELETE FROM documents.chunk WHERE document_id = :id RETURNING workspace_id, id)
INSERT INTO documents.removed (workspace_id, chunk_id, version) SELECT workspace_id, id, :version::bigint FROM gone;

-- name: chunks_add :exec
WITH x AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(:chunks::jsonb)
    AS x(id uuid, number int, section text, page int, start_char int, end_char int, tokens int, text text, vector text)),
added AS (
  INSERT INTO documents.chunk (workspace_id, document_id, id, number, section, page, start_char, end_char, tokens, text, added)
  SELECT :workspace_id::uuid, :id::uuid, x.id, x.number, x.section, x.page, x.start_char, x.end_char, x.tokens, x.text, :version::bigint FROM x)
INSERT INTO documents.vector (workspace_id, document_id, chunk_id, model, vector, added)
SELECT :workspace_id::uuid, :id::uuid, x.id, :model::text, decode(x.vector, 'hex'), :version::bigint FROM x;

-- name: document_indexed :exec
UPDATE documents.document SET status = 'indexed', reason = NULL, title = :title, content = :content, chunk_count = :chunk_count::int,
       version = version + 1, indexed_at = now() WHERE id = :id;

-- name: document_delete :one write
WITH gone AS (DELETE FROM documents.document WHERE workspace_id = :workspace_id AND id = :document_id RETURNING workspace_id, id, sha256),
next AS (UPDATE documents.index_version v SET version = v.version + 1 FROM gone WHERE v.workspace_id = gone.workspace_id RETURNING v.version),
forget AS (INSERT INTO documents.removed (workspace_id, chunk_id, version)
           SELECT c.workspace_id, c.id, next.version FROM documents.chunk c JOIN gone ON gone.id = c.document_id CROSS JOIN next RETURNING 1)
SELECT sha256 FROM gone;

-- name: blob_used :one
SELECT count(*) AS n FROM documents.document WHERE sha256 = :sha256;
