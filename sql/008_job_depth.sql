-- How many jobs wait, run and are dead, of all organizations together: numbers for operators. Each state has its index; what is done is not counted.
SET LOCAL search_path = pg_catalog;

CREATE FUNCTION mt.job_depth() RETURNS TABLE (queue text, state text, jobs bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
  SELECT j.queue, 'ready', count(*) FROM mt.job j WHERE j.state = 'ready' GROUP BY 1
  UNION ALL SELECT j.queue, 'running', count(*) FROM mt.job j WHERE j.state = 'running' GROUP BY 1
  UNION ALL SELECT j.queue, 'dead', count(*) FROM mt.job j WHERE j.state = 'dead' AND j.finished_at IS NOT NULL GROUP BY 1 $$;
INSERT INTO mt.grantable VALUES ('mt.job_depth', 'EXECUTE ON FUNCTION mt.job_depth()');
