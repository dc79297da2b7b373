-- name: item_list :many cursor=id
SELECT id, title, done, created_at FROM @IDENT@.item WHERE id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: item_create :one
INSERT INTO @IDENT@.item (id, title, done) VALUES (:new_id, :title, :done)
RETURNING id, title, done, created_at, version AS _etag;

-- name: item_get :one
SELECT id, title, done, created_at, version AS _etag FROM @IDENT@.item WHERE id = :item_id;

-- name: item_update :one
UPDATE @IDENT@.item i
SET (title, done, version) = (SELECT p.title, p.done, mt.next_version(i.version, :if_match) FROM jsonb_populate_record(i, :body::jsonb) p)
WHERE i.id = :item_id
RETURNING i.id, i.title, i.done, i.created_at, i.version AS _etag;

-- name: item_delete :exec
DELETE FROM @IDENT@.item WHERE id = :item_id;
