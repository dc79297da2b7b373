-- mt.tenant_table() and its triggers: one declaration gives a table row-level security, grants, the change log, a capacity counter, cache
-- invalidation and a place in a directory.
SET LOCAL search_path = pg_catalog;

-- Who may fill a directory (003_directory.sql), and which unique keys may reach across organizations.
CREATE TABLE mt.directory_owner (directory text NOT NULL, slug text NOT NULL, PRIMARY KEY (directory, slug));
INSERT INTO mt.directory_owner VALUES ('credential', 'tenancy'), ('scope:organization', 'tenancy'), ('scope:workspace', 'tenancy');
CREATE TABLE mt.unique_exception ("table" text NOT NULL, columns text NOT NULL, PRIMARY KEY ("table", columns));
INSERT INTO mt.unique_exception VALUES ('tenancy.organization', 'slug'), ('tenancy.api_key', 'hash'), ('auth.login', 'name');

CREATE FUNCTION mt.count_change(org uuid, quota text, r jsonb, step integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  nil   constant uuid := '00000000-0000-0000-0000-000000000000';
  place constant uuid := CASE WHEN quota LIKE '%@%' THEN coalesce((r ->> split_part(quota, '@', 2))::uuid, nil) ELSE nil END;
  what  constant text := split_part(quota, '@', 1);
  now_used bigint; now_cap bigint;
BEGIN
  INSERT INTO mt.quota AS q (org_id, resource, scope, used) VALUES (org, what, place, greatest(step, 0))
  ON CONFLICT (org_id, resource, scope) DO UPDATE SET used = greatest(q.used + step, 0)
  RETURNING used, cap INTO now_used, now_cap;
  IF step < 0 THEN RETURN; END IF;
  IF now_cap IS NULL AND place <> nil THEN
    SELECT cap INTO now_cap FROM mt.quota WHERE org_id = org AND resource = what AND scope = nil;
  END IF;
  IF now_used > now_cap THEN
    RAISE EXCEPTION 'quota_exceeded' USING ERRCODE = 'MT429', DETAIL = format('The plan allows %s %s, and all are in use.', now_cap, what);
  END IF;
END $$;

-- Arguments: quota or '', masked columns, 'notify' or '', 'silent' or ''.
CREATE FUNCTION mt.on_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  actor constant text[] := string_to_array(nullif(current_setting('app.actor', true), ''), ' ');
  mask  constant text[] := TG_ARGV[1];
  old_row jsonb; new_row jsonb; org uuid;
BEGIN
  IF TG_OP <> 'INSERT' THEN old_row := to_jsonb(OLD); org := OLD.org_id; END IF;
  IF TG_OP <> 'DELETE' THEN new_row := to_jsonb(NEW); org := NEW.org_id; END IF;
  IF TG_OP = 'UPDATE' AND OLD.org_id <> NEW.org_id THEN
    RAISE EXCEPTION 'organization_fixed' USING ERRCODE = 'MT422', DETAIL = 'A row cannot move to another organization.';
  END IF;
  IF TG_ARGV[0] <> '' AND TG_OP <> 'UPDATE' THEN
    PERFORM mt.count_change(org, TG_ARGV[0], coalesce(new_row, old_row), CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END);
  END IF;
  IF TG_ARGV[3] = '' THEN
    INSERT INTO mt.change (org_id, "table", op, actor, request_id, operation, before, after)
    VALUES (org, TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, left(TG_OP, 1)::"char", nullif(actor[1], '')::uuid, nullif(actor[2], '')::uuid,
            nullif(actor[3], ''), old_row - mask, new_row - mask);
    IF EXISTS (SELECT FROM mt.watcher WHERE until > now()) THEN PERFORM pg_notify('mt_change', ''); END IF;
  END IF;
  IF TG_ARGV[2] <> '' THEN
    PERFORM pg_notify('mt_cache', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME || ' ' || org);
  END IF;
  RETURN NULL;
END $$;

-- Run by a plugin's migration, as its owner role, once for each of its tables. quota: the counter's name ("agents"), or "documents@workspace_id"
-- for one a workspace. mask: columns that the change log must not hold. directory: 'credential', 'scope:organization' or 'scope:workspace', for
-- those who own one. notify: tell the hosts' caches; only for tables with few writes, for it serializes commits. log: false for what is a log itself.
CREATE FUNCTION mt.tenant_table(t text, quota text DEFAULT NULL, mask text[] DEFAULT '{}', directory text DEFAULT NULL,
                                notify boolean DEFAULT false, log boolean DEFAULT true) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  name    constant text := t::regclass::text;
  runtime constant text := 'mt_p_' || substr(current_user, 6);
BEGIN
  IF current_user NOT LIKE 'mt\_o\_%' THEN
    RAISE EXCEPTION 'schema_refused' USING ERRCODE = 'MT422', DETAIL = 'mt.tenant_table() is for the migrations of plugins.';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = t::regclass AND attname = 'org_id' AND atttypid = 'uuid'::regtype AND attnotnull) THEN
    RAISE EXCEPTION 'schema_refused' USING ERRCODE = 'MT422', DETAIL = format('%s needs a column org_id uuid NOT NULL.', name);
  END IF;
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
  EXECUTE format('CREATE POLICY tenant ON %s AS RESTRICTIVE TO mt_member USING (org_id = (SELECT mt.org_id()))', name);
  EXECUTE format('CREATE POLICY member ON %s TO mt_member USING (true)', name);
  EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true)', name, current_user);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', name, runtime);
  EXECUTE format('CREATE TRIGGER mt_change AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION mt.on_change(%L, %L, %L, %L)',
                 name, coalesce(quota, ''), mask::text, CASE WHEN notify THEN 'notify' ELSE '' END, CASE WHEN log THEN '' ELSE 'silent' END);
  IF directory IS NOT NULL THEN
    EXECUTE format('CREATE TRIGGER mt_directory AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION mt.on_directory(%L)',
                   name, directory);
  END IF;
END $$;
GRANT EXECUTE ON FUNCTION mt.on_change(), mt.tenant_table(text, text, text[], text, boolean, boolean) TO mt_owner;
