-- name: note_list :many cursor=id
SELECT id, workspace_id, title, text, tags, pinned, created_at, updated_at
FROM notes.note WHERE workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: note_create :one
INSERT INTO notes.note (workspace_id, id, title, text, tags, pinned)
VALUES (:workspace_id, :new_id, :title, :text, :tags, :pinned)
RETURNING id, workspace_id, title, text, tags, pinned, created_at, updated_at, version AS _etag;

-- name: note_get :one
SELECT id, workspace_id, title, text, tags, pinned, created_at, updated_at, version AS _etag
FROM notes.note WHERE workspace_id = :workspace_id AND id = :note_id;

-- name: note_update :one
UPDATE notes.note n
SET (title, text, tags, pinned, version, updated_at) =
    (SELECT p.title, p.text, p.tags, p.pinned, mt.next_version(n.version, :if_match), now()
       FROM jsonb_populate_record(n, :body::jsonb) p)
WHERE n.workspace_id = :workspace_id AND n.id = :note_id
RETURNING n.id, n.workspace_id, n.title, n.text, n.tags, n.pinned, n.created_at, n.updated_at, n.version AS _etag;

-- name: note_delete :exec
DELETE FROM notes.note WHERE workspace_id = :workspace_id AND id = :note_id;
