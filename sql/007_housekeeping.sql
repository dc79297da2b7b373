-- What grows and is not needed for ever. Called by the host now and then; each call removes a bounded number of rows.
SET LOCAL search_path = pg_catalog;

CREATE FUNCTION mt.housekeep() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
  WITH answers AS (DELETE FROM mt.idempotency WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM mt.idempotency WHERE created_at < now() - interval '24 hours' LIMIT 10000)) RETURNING 1)
  SELECT count(*) + mt.job_prune(7 * 86400) FROM answers $$;
