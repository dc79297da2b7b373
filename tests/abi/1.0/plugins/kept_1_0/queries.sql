-- name: note_list :many cursor=id
SELECT id, text FROM kept_1_0.note WHERE id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: note_get :one
SELECT id, text FROM kept_1_0.note WHERE id = :note_id;

-- name: note_add :one
INSERT INTO kept_1_0.note (id, text) VALUES (:id::uuid, :given::text) RETURNING id, text;

-- name: note_once :exec
INSERT INTO kept_1_0.note (id, text) VALUES (:id::uuid, :given::text) ON CONFLICT DO NOTHING;
