-- name: item_list :many cursor=id
SELECT id, title, created_at FROM @IDENT@.item WHERE id < :cursor ORDER BY id DESC LIMIT :limit;

-- name: item_create :one
INSERT INTO @IDENT@.item (id, title) VALUES (:new_id, :title) RETURNING id, title, created_at;

-- name: item_count :one
SELECT count(*) AS items FROM @IDENT@.item;
