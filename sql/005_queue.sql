-- The job queue: one table without the tenant rule, reached only through these functions. A job is delivered at least once: who takes it has a
-- lease, and one that lets the lease pass (a crash) loses it to another.
SET LOCAL search_path = pg_catalog;

CREATE TABLE mt.job (
  id           uuid PRIMARY KEY,
  queue        text NOT NULL,
  org_id       uuid NOT NULL,
  workspace_id uuid,
  payload      jsonb NOT NULL,
  state        text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'running', 'done', 'dead')),
  priority     integer NOT NULL DEFAULT 0, -- higher first
  attempts     integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL DEFAULT 5,
  run_at       timestamptz NOT NULL DEFAULT now(),
  lease_until  timestamptz,
  lease_length integer,                   -- seconds, as its worker asked: what job_extend() renews it by
  leased_by    text,
  last_error   text,
  unique_key   text,
  created_at   timestamptz NOT NULL DEFAULT now(),
  finished_at  timestamptz) WITH (fillfactor = 70);
CREATE INDEX job_ready ON mt.job (queue, org_id, priority DESC, run_at) WHERE state = 'ready';
CREATE INDEX job_running ON mt.job (queue, lease_until) WHERE state = 'running';
CREATE INDEX job_ended ON mt.job (finished_at) WHERE state IN ('done', 'dead');
CREATE UNIQUE INDEX job_unique ON mt.job (org_id, queue, unique_key) WHERE state IN ('ready', 'running');
-- Whose turn it was last, a worker: the next organization in order comes first.
CREATE UNLOGGED TABLE mt.job_turn (queue text, worker text, org_id uuid NOT NULL, PRIMARY KEY (queue, worker));

-- Adds a job of the call's organization, in the caller's transaction. A unique_key that waits or runs already: answers that job's id.
CREATE FUNCTION mt.job_put(id uuid, queue text, workspace_id uuid, payload jsonb, unique_key text DEFAULT NULL, delay_seconds integer DEFAULT 0,
                           priority integer DEFAULT 0, max_attempts integer DEFAULT 5) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
  org constant uuid := mt.org_id();
  made uuid;
BEGIN
  IF org IS NULL THEN
    RAISE EXCEPTION 'organization_required' USING ERRCODE = 'MT422', DETAIL = 'A job belongs to an organization.';
  END IF;
  INSERT INTO mt.job (id, queue, org_id, workspace_id, payload, unique_key, run_at, priority, max_attempts)
  VALUES (job_put.id, job_put.queue, org, job_put.workspace_id, job_put.payload, job_put.unique_key,
          now() + make_interval(secs => greatest(delay_seconds, 0)), job_put.priority, greatest(job_put.max_attempts, 1))
  ON CONFLICT DO NOTHING RETURNING id INTO made;
  IF made IS NULL THEN
    SELECT j.id INTO made FROM mt.job j WHERE j.id = job_put.id OR (j.org_id = org AND j.queue = job_put.queue
           AND j.unique_key = job_put.unique_key AND j.state IN ('ready', 'running')) LIMIT 1;
  END IF;
  RETURN made;
END $$;

-- Jobs whose worker let the lease pass: again ready, or dead after their last attempt.
CREATE FUNCTION mt.job_reclaim(of_queue text) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
  WITH late AS (SELECT id FROM mt.job WHERE queue = of_queue AND state = 'running' AND lease_until < now() LIMIT 100 FOR UPDATE SKIP LOCKED),
  back AS (UPDATE mt.job j SET state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END, last_error = 'the worker went away',
                  finished_at = CASE WHEN attempts >= max_attempts THEN now() END, leased_by = NULL, lease_until = NULL
             FROM late WHERE j.id = late.id RETURNING 1)
  SELECT count(*) FROM back $$;

-- The best ready job of the first organization after `last` in the order of ids, round to the beginning.
CREATE FUNCTION mt.job_next(of_queue text, last uuid) RETURNS SETOF mt.job LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  RETURN QUERY SELECT * FROM mt.job WHERE queue = of_queue AND state = 'ready' AND org_id > last AND run_at <= now()
               ORDER BY org_id, priority DESC, run_at LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN QUERY SELECT * FROM mt.job WHERE queue = of_queue AND state = 'ready' AND org_id <= last AND run_at <= now()
                 ORDER BY org_id, priority DESC, run_at LIMIT 1 FOR UPDATE SKIP LOCKED;
  END IF;
END $$;

-- Takes up to n jobs, one organization after the other, so that none waits behind another's thousand.
CREATE FUNCTION mt.job_take(of_queue text, n integer, lease_seconds integer, worker text) RETURNS SETOF mt.job
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  began constant uuid := coalesce((SELECT t.org_id FROM mt.job_turn t WHERE t.queue = of_queue AND t.worker = job_take.worker),
                                  '00000000-0000-0000-0000-000000000000');
  last uuid := began;
  j mt.job;
BEGIN
  PERFORM mt.job_reclaim(of_queue);
  FOR i IN 1 .. n LOOP
    SELECT * INTO j FROM mt.job_next(of_queue, last);
    EXIT WHEN NOT FOUND;
    last := j.org_id;
    UPDATE mt.job SET state = 'running', attempts = attempts + 1, leased_by = worker, lease_length = lease_seconds,
           lease_until = now() + make_interval(secs => lease_seconds)
     WHERE id = j.id RETURNING * INTO j;
    RETURN NEXT j;
  END LOOP;
  IF last <> began THEN                    -- an idle queue writes nothing
    INSERT INTO mt.job_turn VALUES (of_queue, worker, last) ON CONFLICT ON CONSTRAINT job_turn_pkey DO UPDATE SET org_id = excluded.org_id;
  END IF;
END $$;

-- Each answers false when the worker holds the job no longer: what it did must then be thrown away.
CREATE FUNCTION mt.job_extend(job_id uuid, worker text, lease_seconds integer DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
  UPDATE mt.job SET lease_until = now() + make_interval(secs => coalesce(lease_seconds, lease_length)) WHERE id = job_id AND state = 'running' AND leased_by = worker;
  RETURN FOUND;
END $$;
CREATE FUNCTION mt.job_done(job_id uuid, worker text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  UPDATE mt.job SET state = 'done', finished_at = now(), lease_until = NULL WHERE id = job_id AND state = 'running' AND leased_by = worker;
  RETURN FOUND;
END $$;
-- Tried again after 2, 4, 8 … seconds (at most an hour, ± a quarter), or dead: after the last attempt, or at once when it is final.
CREATE FUNCTION mt.job_fail(job_id uuid, worker text, error text, final boolean DEFAULT false) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
  UPDATE mt.job SET state = CASE WHEN final OR attempts >= max_attempts THEN 'dead' ELSE 'ready' END,
         finished_at = CASE WHEN final OR attempts >= max_attempts THEN now() END, last_error = left(error, 2000), lease_until = NULL, leased_by = NULL,
         run_at = now() + make_interval(secs => least(3600, 2 ^ least(attempts, 12)) * (0.75 + random() / 2))
   WHERE id = job_id AND state = 'running' AND leased_by = worker;
  RETURN FOUND;
END $$;
CREATE FUNCTION mt.job_retry(job_id uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  UPDATE mt.job SET state = 'ready', attempts = 0, run_at = now(), finished_at = NULL WHERE id = job_id AND state = 'dead' AND org_id = mt.org_id();
  RETURN FOUND;
END $$;
CREATE FUNCTION mt.job_stats(of_queue text) RETURNS TABLE (state text, jobs bigint, oldest timestamptz) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog AS $$
  SELECT state, count(*), min(created_at) FROM mt.job WHERE queue = of_queue GROUP BY state $$;
CREATE FUNCTION mt.job_prune(older_seconds integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
  WITH gone AS (DELETE FROM mt.job WHERE id IN (SELECT id FROM mt.job WHERE state = 'done' AND finished_at < now() - make_interval(secs => older_seconds)
                                                LIMIT 10000) RETURNING 1)
  SELECT count(*) FROM gone $$;

-- Adding is for every plugin; taking is for the queue's provider, whose manifest asks for it.
GRANT EXECUTE ON FUNCTION mt.job_put(uuid, text, uuid, jsonb, text, integer, integer, integer) TO mt_member;
INSERT INTO mt.grantable VALUES
  ('mt.job_take', 'EXECUTE ON FUNCTION mt.job_take(text, integer, integer, text)'),
  ('mt.job_extend', 'EXECUTE ON FUNCTION mt.job_extend(uuid, text, integer)'),
  ('mt.job_done', 'EXECUTE ON FUNCTION mt.job_done(uuid, text)'),
  ('mt.job_fail', 'EXECUTE ON FUNCTION mt.job_fail(uuid, text, text, boolean)'),
  ('mt.job_retry', 'EXECUTE ON FUNCTION mt.job_retry(uuid)'),
  ('mt.job_stats', 'EXECUTE ON FUNCTION mt.job_stats(text)'),
  ('mt.job_prune', 'EXECUTE ON FUNCTION mt.job_prune(integer)');
