-- name: note_create :one
INSERT INTO errand.note (id, text) VALUES (:new_id, :text) RETURNING id, text;

-- name: note_read :one
SELECT id, text FROM errand.note WHERE id = :id;

-- name: notes :many cursor=id
SELECT id, text FROM errand.note WHERE id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: note_count :one
SELECT count(*) AS n FROM errand.note WHERE text LIKE :pattern;
