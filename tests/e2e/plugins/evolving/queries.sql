-- name: evolving_items :many cursor=id
SELECT id, title FROM evolving.item WHERE id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: evolving_add :one
INSERT INTO evolving.item (id, title) VALUES (:new_id, :title) RETURNING id, title;
