-- Directories: what must be found before the organization is known. They hold ids and switches, no content; are filled by triggers on the
-- tables of the plugins named in mt.directory_owner; and are read through functions by exact match.
SET LOCAL search_path = pg_catalog;

CREATE TABLE mt.credential (
  hash            bytea PRIMARY KEY,       -- SHA-256 of the secret
  id              uuid NOT NULL,
  org_id          uuid NOT NULL,
  workspace_id    uuid,                    -- NULL: the whole organization
  kind            text,
  scopes          text[] NOT NULL DEFAULT '{}',
  rate_per_minute integer,
  is_active       boolean NOT NULL DEFAULT true,
  platform        boolean NOT NULL DEFAULT false,
  expires_at      timestamptz);
CREATE INDEX credential_org ON mt.credential (org_id);

CREATE TABLE mt.scope_directory (
  id        uuid PRIMARY KEY,
  kind      text NOT NULL,                 -- organization, workspace
  org_id    uuid NOT NULL,
  slug      text,
  is_active boolean NOT NULL DEFAULT true);
CREATE UNIQUE INDEX scope_slug ON mt.scope_directory (slug) WHERE kind = 'organization';
CREATE INDEX scope_kind ON mt.scope_directory (kind, id);

CREATE FUNCTION mt.find_credential(hash bytea) RETURNS SETOF mt.credential LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
  AS $$ SELECT * FROM mt.credential c WHERE c.hash = find_credential.hash $$;
CREATE FUNCTION mt.find_scope(id uuid) RETURNS SETOF mt.scope_directory LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
  AS $$ SELECT * FROM mt.scope_directory s WHERE s.id = find_scope.id $$;
CREATE FUNCTION mt.find_organization(slug text) RETURNS SETOF mt.scope_directory LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
  AS $$ SELECT * FROM mt.scope_directory s WHERE s.slug = find_organization.slug AND s.kind = 'organization' $$;
-- One of the few lists across organizations: for platform operations.
CREATE FUNCTION mt.list_organizations(before uuid, n integer) RETURNS SETOF mt.scope_directory LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path = pg_catalog
  AS $$ SELECT * FROM mt.scope_directory s WHERE s.kind = 'organization' AND s.id < before ORDER BY s.id DESC LIMIT least(n, 201) $$;

CREATE FUNCTION mt.put_credential(r jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE c mt.credential := jsonb_populate_record(NULL::mt.credential, r);
BEGIN
  INSERT INTO mt.credential AS old (hash, id, org_id, workspace_id, kind, scopes, rate_per_minute, is_active, platform, expires_at)
  VALUES (c.hash, c.id, c.org_id, c.workspace_id, c.kind, coalesce(c.scopes, '{}'), c.rate_per_minute, coalesce(c.is_active, true),
          coalesce(c.platform, false), c.expires_at)
  ON CONFLICT (hash) DO UPDATE
    SET (workspace_id, kind, scopes, rate_per_minute, is_active, platform, expires_at) =
        (excluded.workspace_id, excluded.kind, excluded.scopes, excluded.rate_per_minute, excluded.is_active, excluded.platform, excluded.expires_at)
    WHERE old.org_id = excluded.org_id AND old.id = excluded.id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'credential_taken' USING ERRCODE = 'MT409', DETAIL = 'This credential belongs to someone else.';
  END IF;
END $$;

CREATE FUNCTION mt.put_scope(of_kind text, r jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE s mt.scope_directory := jsonb_populate_record(NULL::mt.scope_directory, r);
BEGIN
  INSERT INTO mt.scope_directory AS old (id, kind, org_id, slug, is_active)
  VALUES (coalesce(s.id, s.org_id), of_kind, s.org_id, s.slug, coalesce(s.is_active, true))
  ON CONFLICT (id) DO UPDATE SET (slug, is_active) = (excluded.slug, excluded.is_active) WHERE old.org_id = excluded.org_id AND old.kind = of_kind;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'id_taken' USING ERRCODE = 'MT409', DETAIL = 'This id is in use.';
  END IF;
END $$;

-- Argument: the directory. An organization's row may call its id id or only org_id.
CREATE FUNCTION mt.on_directory() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  kind constant text := split_part(TG_ARGV[0], ':', 2);
  o jsonb; n jsonb; shown jsonb;
BEGIN
  IF TG_OP <> 'INSERT' THEN o := to_jsonb(OLD); END IF;
  IF TG_OP <> 'DELETE' THEN n := to_jsonb(NEW); END IF;
  shown := coalesce(n, o);
  IF TG_ARGV[0] = 'credential' THEN
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND o -> 'hash' <> n -> 'hash') THEN
      DELETE FROM mt.credential c WHERE c.hash = (o ->> 'hash')::bytea AND c.id = (o ->> 'id')::uuid;
    END IF;
    IF n IS NOT NULL THEN PERFORM mt.put_credential(n); END IF;
  ELSE
    IF TG_OP = 'DELETE' THEN
      DELETE FROM mt.scope_directory s WHERE s.id = coalesce(o ->> 'id', o ->> 'org_id')::uuid AND s.org_id = (o ->> 'org_id')::uuid;
      DELETE FROM mt.plugin_setting p WHERE p.org_id = (o ->> 'org_id')::uuid AND (kind = 'organization' OR p.workspace_id = (o ->> 'id')::uuid);
    END IF;
    IF n IS NOT NULL THEN PERFORM mt.put_scope(kind, n); END IF;
  END IF;
  PERFORM pg_notify('mt_cache', TG_ARGV[0] || ' ' || coalesce(shown ->> 'id', shown ->> 'org_id'));
  RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION mt.on_directory() TO mt_owner;

CREATE FUNCTION mt.on_plugin() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pg_notify('mt_cache', 'plugin ' || coalesce(NEW.slug, OLD.slug));
  RETURN NULL;
END $$;
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON mt.plugin FOR EACH ROW EXECUTE FUNCTION mt.on_plugin();
-- In the change log too, without the configuration; tells "mt.plugin_setting ORG".
CREATE TRIGGER mt_change AFTER INSERT OR UPDATE OR DELETE ON mt.plugin_setting FOR EACH ROW EXECUTE FUNCTION mt.on_change('', '{config}', 'notify', '');
