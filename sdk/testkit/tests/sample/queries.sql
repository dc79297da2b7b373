-- name: row_get :one
SELECT id, name, ready FROM sample.row WHERE id = :id;

-- name: row_add :exec
INSERT INTO sample.row (id, name) VALUES (:new_id, :name);
