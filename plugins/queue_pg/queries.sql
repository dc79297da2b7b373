-- name: put :one write
SELECT mt.job_put(:id::uuid, :queue::text, :workspace_id::uuid, :payload::jsonb, :unique_key::text, :delay_seconds::integer) AS id;

-- name: take :many write
SELECT id, org_id, workspace_id, payload FROM mt.job_take(:queue::text, :most::integer, :lease_seconds::integer, :worker::text);

-- name: extend :one write
-- :job_id is the job of the call: the host knows it.
SELECT mt.job_extend(:job_id::uuid, :worker::text) AS held;

-- name: done :one write
SELECT mt.job_done(:id::uuid, :worker::text) AS held;

-- name: fail :one write
SELECT mt.job_fail(:id::uuid, :worker::text, :reason::text, :final::boolean) AS held;

-- name: depth :many slow
SELECT queue, state, jobs FROM mt.job_depth();
