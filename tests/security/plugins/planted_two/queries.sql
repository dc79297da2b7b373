-- name: go :one
SELECT 1 AS value; SET app.org_id = 'x';
