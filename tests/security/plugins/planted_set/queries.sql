-- name: go :one
SET ROLE mt_owner;
