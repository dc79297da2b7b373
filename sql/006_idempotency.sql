-- Requests with an Idempotency-Key: called by the host itself, under the request's organization. The row is the first write of a transaction of queries, or
-- stands alone while a handler runs; it gets the answer at the end.
SET LOCAL search_path = pg_catalog;

-- state: 'new' (go on), 'done' (here is the answer), 'running', 'mismatch' (another operation or body). A key whose transaction is still open is running:
-- that is asked by a lock that nobody waits for.
CREATE FUNCTION mt.idempotency_begin(the_key text, the_operation text, hash bytea, OUT state text, OUT status integer, OUT body text)
LANGUAGE plpgsql AS $$
DECLARE
  org constant uuid := mt.org_id();
  old mt.idempotency;
BEGIN
  state := 'running';
  IF NOT pg_try_advisory_xact_lock(hashtextextended(org || ' ' || the_key, 7239003)) THEN RETURN; END IF;
  INSERT INTO mt.idempotency (org_id, key, operation, body_hash, lease_until) VALUES (org, the_key, the_operation, hash, now() + interval '60 s')
  ON CONFLICT DO NOTHING;
  IF FOUND THEN state := 'new'; RETURN; END IF;
  SELECT * INTO old FROM mt.idempotency i WHERE i.org_id = org AND i.key = the_key FOR UPDATE;
  IF old.operation <> the_operation OR old.body_hash <> hash THEN
    state := 'mismatch';
  ELSIF old.status IS NOT NULL THEN
    state := 'done'; status := old.status; body := convert_from(old.body, 'UTF8');
  ELSIF old.lease_until < now() THEN
    UPDATE mt.idempotency i SET lease_until = now() + interval '60 s' WHERE i.org_id = org AND i.key = the_key;
    state := 'new';
  END IF;
END $$;

CREATE FUNCTION mt.idempotency_keep(the_key text, the_operation text, the_status integer, the_body text) RETURNS void LANGUAGE sql AS $$
  UPDATE mt.idempotency SET status = the_status, body = convert_to(the_body, 'UTF8'), lease_until = NULL
   WHERE org_id = mt.org_id() AND key = the_key AND operation = the_operation $$;

-- It failed: the key may be used again.
CREATE FUNCTION mt.idempotency_abandon(the_key text, the_operation text) RETURNS void LANGUAGE sql AS $$
  DELETE FROM mt.idempotency WHERE org_id = mt.org_id() AND key = the_key AND operation = the_operation AND status IS NULL $$;
