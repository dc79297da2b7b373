-- name: slow_count :one slow
SELECT count(*) AS n FROM generate_series(1, :rows::int) x WHERE :workspace_id::uuid IS NOT NULL;

-- name: short_count :one
SELECT count(*) AS n FROM generate_series(1, :rows::int) x WHERE :workspace_id::uuid IS NOT NULL;
