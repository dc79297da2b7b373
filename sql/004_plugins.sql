-- What a plugin's migration may have left behind, and what of others a plugin may be given. Run as the login role, in the migration's transaction.
SET LOCAL search_path = pg_catalog;

CREATE FUNCTION mt.refuse(what text, VARIADIC args text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'schema_refused' USING ERRCODE = 'MT422', DETAIL = format(what, VARIADIC args);
END $$;

-- Names of a key's columns in order: "org_id,slug".
CREATE FUNCTION mt.key_columns(rel oid, keys smallint[]) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT string_agg(coalesce(a.attname, '?'), ',' ORDER BY k.n)
    FROM unnest(keys) WITH ORDINALITY k(attnum, n) LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attnum = k.attnum AND k.attnum > 0 $$;

CREATE FUNCTION mt.check_table(rel regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  x record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_class WHERE oid = rel AND relrowsecurity AND relforcerowsecurity)
     OR NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = rel AND polname = 'tenant' AND NOT polpermissive AND polcmd = '*' AND polwithcheck IS NULL
                    AND polroles = ARRAY['mt_member'::regrole::oid] AND pg_get_expr(polqual, polrelid) = '(org_id = ( SELECT mt.org_id() AS org_id))')
     OR NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = rel AND tgname = 'mt_change' AND tgenabled = 'O' AND tgfoid = 'mt.on_change()'::regprocedure)
     OR NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = rel AND attname = 'org_id' AND atttypid = 'uuid'::regtype AND attnotnull) THEN
    PERFORM mt.refuse('The table %s is not (or no longer) declared: call mt.tenant_table().', rel::text);
  END IF;
  FOR x IN SELECT t.tgname, t.tgfoid FROM pg_trigger t WHERE t.tgrelid = rel AND NOT t.tgisinternal
           AND t.tgfoid NOT IN ('mt.on_change()'::regprocedure, 'mt.on_directory()'::regprocedure) LOOP
    PERFORM mt.refuse('%s has a trigger of its own (%s), which a plugin may not have.', rel::text, x.tgname);
  END LOOP;
  FOR x IN SELECT c.relname, i.indkey, mt.key_columns(rel, (i.indkey::smallint[])[0:i.indnkeyatts - 1]) AS columns
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE i.indrelid = rel AND (i.indisunique OR i.indisexclusion) LOOP
    IF x.columns !~ '^org_id(,|$)' AND NOT EXISTS (SELECT FROM mt.unique_exception e WHERE e."table" = rel::text AND e.columns = x.columns) THEN
      PERFORM mt.refuse('The unique key %s on %s (%s) does not begin with org_id.', x.relname, rel::text, x.columns);
    END IF;
  END LOOP;
  FOR x IN SELECT conname, mt.key_columns(conrelid, conkey) AS near, mt.key_columns(confrelid, confkey) AS far
             FROM pg_constraint WHERE conrelid = rel AND contype = 'f' LOOP
    IF x.near !~ '^org_id(,|$)' OR x.far !~ '^org_id(,|$)' THEN
      PERFORM mt.refuse('The foreign key %s of %s does not begin with org_id.', x.conname, rel::text);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION mt.check_directories(slug text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  x record;
BEGIN
  FOR x IN SELECT t.tgrelid::regclass::text AS name, convert_from(substring(t.tgargs FROM 1 FOR octet_length(t.tgargs) - 1), 'UTF8') AS directory
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_roles r ON r.oid = c.relowner
            WHERE r.rolname = 'mt_o_' || slug AND t.tgfoid = 'mt.on_directory()'::regprocedure LOOP
    IF NOT EXISTS (SELECT FROM mt.directory_owner d WHERE d.directory = x.directory AND d.slug = check_directories.slug) THEN
      PERFORM mt.refuse('%s may not fill the directory %s.', x.name, x.directory);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION mt.check_plugin(slug text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  owner  constant oid := (SELECT oid FROM pg_roles WHERE rolname = 'mt_o_' || slug);
  home   constant oid := to_regnamespace(quote_ident(replace(slug, '-', '_')));
  x record;
BEGIN
  FOR x IN SELECT p.oid::regprocedure::text AS name FROM pg_proc p WHERE p.proowner = owner OR p.pronamespace = home LOOP
    PERFORM mt.refuse('%s is a function, which a plugin may not have.', x.name);
  END LOOP;
  FOR x IN SELECT d.classid::regclass::text AS kind, pg_describe_object(d.classid, d.objid, d.objsubid) AS name
             FROM pg_shdepend d
            WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = owner AND d.deptype = 'o'
              AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND d.classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_statistic_ext'::regclass)
              AND NOT (d.classid = 'pg_namespace'::regclass AND d.objid = home) LOOP
    PERFORM mt.refuse('%s is nothing that a plugin may have.', x.name);
  END LOOP;
  FOR x IN SELECT c.oid::regclass AS rel, c.relkind, c.relnamespace, c.reloptions, c.relpersistence FROM pg_class c
            WHERE (c.relowner = owner OR c.relnamespace = home) AND c.relkind NOT IN ('i', 'I', 't') LOOP
    IF x.relnamespace <> home OR x.relpersistence = 't' THEN
      PERFORM mt.refuse('%s lies outside of the plugin''s schema.', x.rel::text);
    ELSIF x.relkind IN ('r', 'p') THEN
      PERFORM mt.check_table(x.rel);
    ELSIF x.relkind = 'v' AND NOT coalesce(x.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false) THEN
      PERFORM mt.refuse('The view %s needs WITH (security_invoker = true).', x.rel::text);
    ELSIF x.relkind NOT IN ('v', 'S', 'c') THEN
      PERFORM mt.refuse('%s is nothing that a plugin may have.', x.rel::text);
    END IF;
  END LOOP;
  FOR x IN SELECT r.rulename, c.oid::regclass::text AS name FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
            WHERE (c.relowner = owner OR c.relnamespace = home) AND NOT (r.rulename = '_RETURN' AND c.relkind = 'v') LOOP
    PERFORM mt.refuse('%s has a rule (%s), which a plugin may not have.', x.name, x.rulename);
  END LOOP;
  PERFORM mt.check_directories(slug);
END $$;

-- The core's own things that a plugin's manifest may ask for, beside the tables of other plugins: name, what to grant.
CREATE TABLE mt.grantable (name text PRIMARY KEY, privilege text NOT NULL);
INSERT INTO mt.grantable VALUES
  ('mt.change', 'SELECT ON mt.change'),
  ('mt.quota', 'SELECT ON mt.quota'),
  ('mt.quota_set', 'EXECUTE ON FUNCTION mt.quota_set(uuid, text, bigint)'),
  ('mt.find_credential', 'EXECUTE ON FUNCTION mt.find_credential(bytea)'),
  ('mt.find_scope', 'EXECUTE ON FUNCTION mt.find_scope(uuid)'),
  ('mt.find_organization', 'EXECUTE ON FUNCTION mt.find_organization(text)'),
  ('mt.list_organizations', 'EXECUTE ON FUNCTION mt.list_organizations(uuid, integer)');

-- A plugin's roles and schema, made when missing. mt_o_SLUG owns and migrates, mt_p_SLUG runs the queries.
CREATE FUNCTION mt.ensure_plugin(slug text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  owner   constant text := 'mt_o_' || slug;
  runtime constant text := 'mt_p_' || slug;
  home    constant text := replace(slug, '-', '_');
BEGIN
  IF slug !~ '^[a-z][a-z0-9_-]{0,47}$' OR home IN ('mt', 'public') OR home LIKE 'pg\_%' THEN
    PERFORM mt.refuse('%s cannot be the name of a schema.', slug);
  END IF;
  IF to_regrole(quote_ident(owner)) IS NULL THEN EXECUTE format('CREATE ROLE %I NOLOGIN', owner); END IF;
  IF to_regrole(quote_ident(runtime)) IS NULL THEN EXECUTE format('CREATE ROLE %I NOLOGIN', runtime); END IF;
  IF NOT pg_has_role(owner, 'mt_owner', 'MEMBER') THEN EXECUTE format('GRANT mt_owner TO %I', owner); END IF;
  IF NOT pg_has_role(runtime, 'mt_member', 'MEMBER') THEN EXECUTE format('GRANT mt_member TO %I', runtime); END IF;
  IF NOT EXISTS (SELECT FROM pg_auth_members WHERE roleid = owner::regrole AND member = current_user::regrole) THEN
    EXECUTE format('GRANT %I, %I TO CURRENT_USER', owner, runtime);
  END IF;
  IF to_regnamespace(quote_ident(home)) IS NULL THEN
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', home, owner);
    EXECUTE format('SET LOCAL ROLE %I', owner);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', home, runtime);
    SET LOCAL ROLE NONE;
  ELSIF (SELECT nspowner FROM pg_namespace WHERE nspname = home) <> to_regrole(quote_ident(owner)) THEN
    PERFORM mt.refuse('The schema %s belongs to something else.', home);
  END IF;
END $$;

-- Gives a plugin what its manifest asks for of others: to its owner role REFERENCES, to its runtime role SELECT; or one of mt.grantable.
CREATE FUNCTION mt.grant_reference(slug text, ref text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  owner   constant text := 'mt_o_' || slug;
  runtime constant text := 'mt_p_' || slug;
  own     constant text := (SELECT privilege FROM mt.grantable g WHERE g.name = ref);
  rel     record;
BEGIN
  IF own IS NOT NULL THEN
    EXECUTE format('GRANT %s TO %I', own, runtime);
    RETURN;
  END IF;
  SELECT c.oid, c.oid::regclass::text AS name, n.nspname, r.rolname INTO rel
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
   WHERE n.nspname = split_part(ref, '.', 1) AND c.relname = split_part(ref, '.', 2) AND c.relkind IN ('r', 'p', 'v') AND r.rolname LIKE 'mt\_o\_%';
  IF NOT FOUND THEN
    PERFORM mt.refuse('The reference %s does not exist: is its plugin active?', ref);
  END IF;
  IF has_table_privilege(owner, rel.oid, 'REFERENCES') AND has_table_privilege(runtime, rel.oid, 'SELECT') THEN RETURN; END IF;
  EXECUTE format('SET LOCAL ROLE %I', rel.rolname);
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I, %I', rel.nspname, owner, runtime);
  EXECUTE format('GRANT REFERENCES, SELECT ON %s TO %I', rel.name, owner);
  EXECUTE format('GRANT SELECT ON %s TO %I', rel.name, runtime);
  SET LOCAL ROLE NONE;
END $$;

-- After the files: what tenant_table() does not grant.
CREATE FUNCTION mt.grant_own(slug text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  home constant text := replace(slug, '-', '_');
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', 'mt_o_' || slug);
  EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', home, 'mt_p_' || slug);
  EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO %I', home, 'mt_p_' || slug);
  SET LOCAL ROLE NONE;
END $$;

-- Takes everything of a plugin that was uninstalled away: its schema with all rows, its migrations' marks. Roles stay: they own nothing any more.
CREATE FUNCTION mt.drop_plugin(slug text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  home constant text := replace(slug, '-', '_');
BEGIN
  IF to_regnamespace(quote_ident(home)) IS NOT NULL AND (SELECT nspowner FROM pg_namespace WHERE nspname = home) = to_regrole(quote_ident('mt_o_' || slug)) THEN
    EXECUTE format('SET LOCAL ROLE %I', 'mt_o_' || slug);
    EXECUTE format('DROP SCHEMA %I CASCADE', home);
    SET LOCAL ROLE NONE;
  END IF;
  DELETE FROM mt.migration m WHERE m.owner = drop_plugin.slug;
  DELETE FROM mt.plugin_setting o WHERE o.slug = drop_plugin.slug;
END $$;
