-- name: go :one
DO $$ BEGIN PERFORM 1; END $$;
