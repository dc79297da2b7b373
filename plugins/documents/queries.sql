-- name: document_list :many cursor=id
-- custom
SELECT id, workspace_id, collection_id, file_name, content_type, title, language, bytes, metadata, status, reason, chunk_count,
       jsonb_build_object('done', progress_done, 'total', progress_total) AS progress, created_at, indexed_at, updated_at
FROM documents.document WHERE workspace_id = :workspace_id AND id < :cursor
  AND (:collection_id::uuid IS NULL OR collection_id = :collection_id) AND (:status::text IS NULL OR status = :status) ORDER BY id DESC LIMIT :limit;

-- name: document_get :one
SELECT id, workspace_id, collection_id, file_name, content_type, title, language, bytes, sha256, metadata, status, reason, chunk_count,
       jsonb_build_object('done', progress_done, 'total', progress_total) AS progress, created_at, indexed_at, updated_at, version AS _etag
FROM documents.document WHERE workspace_id = :workspace_id AND id = :document_id;

-- name: document_text :one
SELECT id, substr(coalesce(content, ''), :start::int + 1, :end::int - :start::int) AS text, char_length(coalesce(content, '')) AS characters
FROM documents.document WHERE workspace_id = :workspace_id AND id = :document_id;

-- name: chunk_list :many cursor=id
SELECT id, document_id, number, section, page, start_char, end_char, tokens, text
FROM documents.chunk WHERE document_id = :document_id AND workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: document_add :many
INSERT INTO documents.document (workspace_id, id, collection_id, sha256, file_name, content_type, bytes, metadata)
VALUES (:workspace_id, :id, :collection_id::uuid, :sha256, :file_name, :content_type, :bytes, coalesce(:metadata::jsonb, '{}'))
ON CONFLICT (org_id, workspace_id, sha256) DO NOTHING RETURNING id;

-- name: document_same :one
SELECT id, status FROM documents.document WHERE workspace_id = :workspace_id AND sha256 = :sha256;

-- name: document_again :many write
-- The job's key has the version, so that it is not taken for one that is just ending. No row: it is under way anyhow.
UPDATE documents.document SET status = 'queued', reason = NULL, attempts = 0, progress_done = 0, progress_total = 0, version = version + 1,
       updated_at = clock_timestamp()
WHERE id = :id AND (status = 'failed' OR (status = 'indexed' AND :anew::boolean)) RETURNING version;

-- name: document_state :one
SELECT id, workspace_id, collection_id, file_name, content_type, title, language, bytes, metadata, status, reason, chunk_count,
       jsonb_build_object('done', progress_done, 'total', progress_total) AS progress, created_at, indexed_at, updated_at
FROM documents.document WHERE id = :id;

-- name: documents_open :one
SELECT count(*) AS n FROM documents.document WHERE id = ANY(:ids::uuid[]) AND status IN ('queued', 'indexing');

-- name: document_take :one
SELECT id, sha256, file_name, content_type, status FROM documents.document WHERE id = :id;

-- name: document_indexing :exec
-- The last attempt counts as failed until it succeeds: should the host end under it, nobody is left to write the reason.
UPDATE documents.document SET status = CASE WHEN attempts >= 4 THEN 'failed' ELSE 'indexing' END, attempts = attempts + 1, updated_at = clock_timestamp(),
       reason = CASE WHEN attempts >= 4 THEN 'It was given up after five attempts: the host ended while it read the file. Upload it again to retry.' END
WHERE id = :id AND status <> 'indexed';

-- name: document_progress :exec
UPDATE documents.document SET progress_done = :done::int, progress_total = :total::int, updated_at = clock_timestamp() WHERE id = :id;

-- name: document_waits :many write
UPDATE documents.document SET status = CASE WHEN attempts >= 5 THEN 'failed' ELSE 'queued' END, reason = :reason, updated_at = clock_timestamp()
WHERE id = :id AND status <> 'indexed' RETURNING status;

-- name: document_failed :exec
UPDATE documents.document SET status = 'failed', reason = :reason, version = version + 1, updated_at = clock_timestamp() WHERE id = :id;

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
    AS x(id uuid, number int, section text, page int, start_char int, end_char int, tokens int, text text, language text, vector text)),
added AS (
  INSERT INTO documents.chunk (workspace_id, document_id, id, number, section, page, start_char, end_char, tokens, text, language, added)
  SELECT :workspace_id::uuid, :id::uuid, x.id, x.number, x.section, x.page, x.start_char, x.end_char, x.tokens, x.text, x.language, :version::bigint FROM x)
INSERT INTO documents.vector (workspace_id, document_id, chunk_id, model, vector, added)
SELECT :workspace_id::uuid, :id::uuid, x.id, :model::text, decode(x.vector, 'hex'), :version::bigint FROM x;

-- name: document_indexed :exec
UPDATE documents.document SET status = 'indexed', reason = NULL, title = :title, content = :content, language = :language, chunk_count = :chunk_count::int,
       progress_done = :chunk_count::int, progress_total = :chunk_count::int, version = version + 1, indexed_at = now(), updated_at = clock_timestamp()
WHERE id = :id;

-- name: documents_delete :many write
-- One, or all of a collection.
WITH gone AS (DELETE FROM documents.document
              WHERE workspace_id = :workspace_id AND (id = :document_id::uuid OR collection_id = :of_collection::uuid) RETURNING workspace_id, id, sha256),
next AS (UPDATE documents.index_version v SET version = v.version + 1 WHERE v.workspace_id = :workspace_id AND EXISTS (SELECT FROM gone) RETURNING v.version),
forget AS (INSERT INTO documents.removed (workspace_id, chunk_id, version)
           SELECT c.workspace_id, c.id, next.version FROM documents.chunk c JOIN gone ON gone.id = c.document_id CROSS JOIN next RETURNING 1),
blobs AS (INSERT INTO documents.blob_gone (sha256) SELECT DISTINCT sha256 FROM gone ON CONFLICT DO NOTHING)
SELECT id, (SELECT version FROM next) AS version FROM gone;

-- name: document_update :one
UPDATE documents.document d
SET (file_name, metadata, collection_id, version, updated_at) =
    (SELECT p.file_name, p.metadata, p.collection_id, mt.next_version(d.version, :if_match), clock_timestamp()
       FROM jsonb_populate_record(d, :body::jsonb) p)
WHERE d.workspace_id = :workspace_id AND d.id = :document_id RETURNING d.id;

-- name: version_lock :many write
-- Nobody ingests into the workspace, changes its model or moves documents in it until the commit.
SELECT version FROM documents.index_version WHERE workspace_id = :workspace_id FOR UPDATE;

-- name: documents_stale :many
-- Those of a list whose chunks lack vectors of the model that is theirs.
SELECT d.id FROM documents.document d JOIN documents.index_version w ON w.org_id = d.org_id AND w.workspace_id = d.workspace_id
LEFT JOIN documents.collection k ON k.org_id = d.org_id AND k.id = d.collection_id
WHERE d.workspace_id = :workspace_id AND d.id = ANY(:ids::uuid[])
  AND EXISTS (SELECT FROM documents.chunk c WHERE c.org_id = d.org_id AND c.document_id = d.id AND NOT EXISTS (
      SELECT FROM documents.vector v WHERE v.org_id = c.org_id AND v.chunk_id = c.id AND v.model = coalesce(k.model, w.model)));

-- name: documents_of_collection :many
SELECT id FROM documents.document WHERE workspace_id = :workspace_id AND collection_id = :of_collection::uuid;

-- name: documents_older :many slow
-- What the re-indexing of a workspace has not reached yet.
SELECT id FROM documents.document
WHERE workspace_id = :workspace_id AND id > :after::uuid AND status IN ('indexed', 'failed') AND (indexed_at IS NULL OR indexed_at < :started::timestamptz)
ORDER BY id LIMIT 200;

-- name: blobs_noted :exec
INSERT INTO documents.blob_gone (sha256) SELECT unnest(:list::text[]) ON CONFLICT DO NOTHING;

-- name: blobs_of_workspace :exec
INSERT INTO documents.blob_gone (sha256) SELECT DISTINCT sha256 FROM documents.document WHERE workspace_id = :of_workspace::uuid ON CONFLICT DO NOTHING;

-- name: blobs_gone :many
SELECT b.sha256, EXISTS (SELECT FROM documents.document d WHERE d.sha256 = b.sha256) AS used FROM documents.blob_gone b LIMIT 500;

-- name: blob_swept :exec
DELETE FROM documents.blob_gone WHERE sha256 = :sha256;

-- name: removed_prune :exec
DELETE FROM documents.removed r USING documents.index_version v
WHERE v.workspace_id = :workspace_id AND r.org_id = v.org_id AND r.workspace_id = v.workspace_id AND r.version <= v.version - :keep::bigint;

-- name: floor_raise :exec
UPDATE documents.index_version SET floor = greatest(floor, version - :keep::bigint) WHERE workspace_id = :workspace_id;

-- Collections.

-- name: collection_list :many cursor=id
SELECT id, workspace_id, name, description, model, created_at FROM documents.collection
WHERE workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: collection_get :one
SELECT id, workspace_id, name, description, model, created_at,
       (SELECT count(*) FROM documents.document d WHERE d.workspace_id = k.workspace_id AND d.collection_id = k.id) AS documents, version AS _etag
FROM documents.collection k WHERE workspace_id = :workspace_id AND id = :collection_id;

-- name: collection_create :one
INSERT INTO documents.collection (id, workspace_id, name, description, model, dimensions)
VALUES (:new_id, :workspace_id, :name, :description, :bound::text, :dimensions::integer)
RETURNING id, workspace_id, name, description, model, created_at;

-- name: collection_update :one
UPDATE documents.collection k SET (name, description, version) =
  (SELECT p.name, p.description, mt.next_version(k.version, :if_match) FROM jsonb_populate_record(k, :body::jsonb) p)
WHERE k.workspace_id = :workspace_id AND k.id = :collection_id
RETURNING k.id, k.workspace_id, k.name, k.description, k.model, k.created_at, k.version AS _etag;

-- name: collection_delete :one write
DELETE FROM documents.collection WHERE workspace_id = :workspace_id AND id = :collection_id RETURNING id;

-- The workspace's model.

-- name: embedding_get :many
SELECT v.model, v.dimensions, v.next_model, v.next_dimensions,
       CASE WHEN v.next_model IS NULL THEN 0 ELSE (SELECT count(*) FROM documents.vector x WHERE x.workspace_id = v.workspace_id AND x.model = v.next_model) END AS done,
       (SELECT coalesce(sum(d.chunk_count), 0)::bigint FROM documents.document d LEFT JOIN documents.collection k ON k.org_id = d.org_id AND k.id = d.collection_id
         WHERE d.workspace_id = v.workspace_id AND k.model IS NULL) AS total
FROM documents.index_version v WHERE v.workspace_id = :workspace_id;

-- name: embedding_put :one write
-- The version moves on, so that the job's key is a new one. Back to the model that is there: nothing is under way then.
INSERT INTO documents.index_version AS v (workspace_id, version, model, dimensions) VALUES (:workspace_id, 0, :wanted::text, :dimensions::integer)
ON CONFLICT (org_id, workspace_id) DO UPDATE SET version = v.version + 1,
  next_model = CASE WHEN v.model <> excluded.model THEN excluded.model END,
  next_dimensions = CASE WHEN v.model <> excluded.model THEN excluded.dimensions END
RETURNING version, model, next_model;

-- name: embedding_before :many write
SELECT model, next_model FROM documents.index_version WHERE workspace_id = :workspace_id FOR UPDATE;

-- name: reembed_page :many slow
-- Chunks that follow the workspace and lack a vector of the model that it changes to.
SELECT c.id, c.added, c.text FROM documents.chunk c
JOIN documents.document d ON d.org_id = c.org_id AND d.id = c.document_id
LEFT JOIN documents.collection k ON k.org_id = d.org_id AND k.id = d.collection_id
WHERE c.workspace_id = :workspace_id AND (c.added, c.id) > (:added::bigint, :after::uuid) AND k.model IS NULL
  AND NOT EXISTS (SELECT FROM documents.vector v WHERE v.org_id = c.org_id AND v.chunk_id = c.id AND v.model = :wanted::text)
ORDER BY c.added, c.id LIMIT 64;

-- name: reembed_lock :many write
SELECT model FROM documents.index_version WHERE workspace_id = :workspace_id AND next_model = :wanted::text FOR UPDATE;

-- name: reembed_any :many
SELECT c.id FROM documents.chunk c
JOIN documents.document d ON d.org_id = c.org_id AND d.id = c.document_id
LEFT JOIN documents.collection k ON k.org_id = d.org_id AND k.id = d.collection_id
WHERE c.workspace_id = :workspace_id AND k.model IS NULL
  AND NOT EXISTS (SELECT FROM documents.vector v WHERE v.org_id = c.org_id AND v.chunk_id = c.id AND v.model = :wanted::text) LIMIT 1;

-- name: reembed_next :many write
UPDATE documents.index_version SET version = version + 1 WHERE workspace_id = :workspace_id AND next_model = :wanted::text RETURNING version;

-- name: vectors_add :exec
INSERT INTO documents.vector (workspace_id, document_id, chunk_id, model, vector, added)
SELECT c.workspace_id, c.document_id, c.id, :wanted::text, decode(x.vector, 'hex'), :version::bigint
FROM jsonb_to_recordset(:vectors::jsonb) AS x(id uuid, vector text) JOIN documents.chunk c ON c.id = x.id AND c.workspace_id = :workspace_id
ON CONFLICT DO NOTHING;

-- name: reembed_switch :one write
UPDATE documents.index_version SET version = version + 1, model = next_model, dimensions = next_dimensions, next_model = NULL, next_dimensions = NULL
WHERE workspace_id = :workspace_id AND next_model = :wanted::text RETURNING version;

-- name: vectors_unused :exec
-- Vectors of a model that is no longer their document's, some at a time.
DELETE FROM documents.vector v USING (
  SELECT v.chunk_id FROM documents.vector v JOIN documents.document d ON d.org_id = v.org_id AND d.id = v.document_id
  JOIN documents.index_version w ON w.org_id = v.org_id AND w.workspace_id = v.workspace_id
  LEFT JOIN documents.collection k ON k.org_id = d.org_id AND k.id = d.collection_id
  WHERE v.workspace_id = :workspace_id AND v.model = :unused::text AND coalesce(k.model, w.model) <> v.model
    AND (k.model IS NOT NULL OR w.next_model IS NULL OR w.next_model <> v.model) LIMIT 1000) old
WHERE v.workspace_id = :workspace_id AND v.model = :unused AND v.chunk_id = old.chunk_id;

-- name: document_events :many
SELECT id, file_name, status, reason, progress_done AS done, progress_total AS total, updated_at,
       extract(epoch FROM clock_timestamp() - updated_at) < 5 AS fresh
FROM documents.document WHERE workspace_id = :workspace_id AND updated_at > :since::timestamptz ORDER BY updated_at LIMIT 500;

-- name: events_begin :one
SELECT clock_timestamp() AS since, (SELECT count(*) FROM documents.document WHERE workspace_id = :workspace_id AND status IN ('queued', 'indexing')) AS open;

-- name: events_open :one
SELECT count(*) AS open FROM documents.document WHERE workspace_id = :workspace_id AND status IN ('queued', 'indexing');
