-- name: run_list :many cursor=id
SELECT id, subject, step, text, created_at FROM digest.run WHERE workspace_id = :workspace_id AND id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: run_get :one
SELECT id, subject, step, text, created_at FROM digest.run WHERE workspace_id = :workspace_id AND id = :digest_id;

-- name: run_create :one
INSERT INTO digest.run (workspace_id, id, subject) VALUES (:workspace_id, :new_id, :subject) RETURNING id, subject, step, text, created_at;

-- name: run_state :one
SELECT subject, step, passages FROM digest.run WHERE id = :run_id;

-- A step is taken once: a second job of the same step touches no row.
-- name: run_collected :exec
UPDATE digest.run SET step = 'write', passages = :passages::jsonb WHERE id = :run_id AND step = 'collect';

-- name: run_written :exec
UPDATE digest.run SET step = 'done', text = :text, passages = NULL WHERE id = :run_id AND step = 'write';
