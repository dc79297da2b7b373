-- Schema mt: what every plugin's tables stand on. Run as the service's login role, which owns it all and is no superuser.
SET LOCAL search_path = pg_catalog;
CREATE SCHEMA IF NOT EXISTS mt;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- mt_member: all runtime roles (mt_p_SLUG); mt_owner: all owner roles (mt_o_SLUG). Roles belong to the whole server.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mt_member') THEN CREATE ROLE mt_member NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mt_owner') THEN CREATE ROLE mt_owner NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another host made it just now
END $$;
GRANT USAGE ON SCHEMA mt TO mt_member, mt_owner;

-- The call's context. Each setting is '' or absent outside of one, and then nothing is visible.
CREATE FUNCTION mt.org_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(current_setting('app.org_id', true), '')::uuid;
CREATE FUNCTION mt.scope() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE        -- '*' or a workspace's id
  RETURN nullif(current_setting('app.scope', true), '');
CREATE FUNCTION mt.subject_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(split_part(current_setting('app.actor', true), ' ', 1), '')::uuid;
CREATE FUNCTION mt.request_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(split_part(current_setting('app.actor', true), ' ', 2), '')::uuid;
CREATE FUNCTION mt.operation() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(split_part(current_setting('app.actor', true), ' ', 3), '');

-- SET version = mt.next_version(version, :if_match): the next number, or MT412 when If-Match names another one.
CREATE FUNCTION mt.next_version(current bigint, if_match text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF if_match IS NOT NULL AND if_match <> '*' AND trim(both '"' FROM if_match) <> current::text THEN
    RAISE EXCEPTION 'version_changed' USING ERRCODE = 'MT412', DETAIL = 'It was changed by someone else meanwhile: read it again.';
  END IF;
  RETURN current + 1;
END $$;
GRANT EXECUTE ON FUNCTION mt.org_id(), mt.scope(), mt.subject_id(), mt.request_id(), mt.operation(), mt.next_version(bigint, text)
  TO mt_member, mt_owner;

CREATE TABLE mt.setting (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE mt.migration (
  owner      text NOT NULL,                -- '' for the core, else a plugin's slug
  number     integer NOT NULL,
  name       text NOT NULL,
  checksum   text NOT NULL,                -- SHA-256 of the file, hex
  applied_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (owner, number));

CREATE TABLE mt.plugin (                   -- the operator's wishes
  slug       text PRIMARY KEY,
  enabled    boolean NOT NULL DEFAULT true,
  config     jsonb NOT NULL DEFAULT '{}',
  previous_config jsonb,                   -- before the last upgrade: a rollback takes it back
  version    text,                         -- the one that was switched to last
  changed_at timestamptz NOT NULL DEFAULT now());
-- What an organization, or one workspace of it, has otherwise than everybody. The nil organization's rows are the operator's: a plugin's instances, and
-- what its default instance ('') is limited to (its configuration is mt.plugin's).
CREATE TABLE mt.plugin_setting (
  org_id       uuid NOT NULL,
  slug         text NOT NULL,
  instance     text NOT NULL DEFAULT '',
  workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- nil: the whole organization
  allowed      boolean NOT NULL DEFAULT true,  -- what the operator lets the organization have
  enabled      boolean NOT NULL DEFAULT true,  -- what it wants of that
  config       jsonb NOT NULL DEFAULT '{}',    -- a merge patch (RFC 7396) on what is below
  scope        jsonb NOT NULL DEFAULT '{}',    -- {operations, api_keys}: the calls that its hook handlers are for
  priority     integer,                        -- of an instance's hook handlers; NULL: as the manifest has it
  changed_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, slug, instance, workspace_id));
CREATE INDEX plugin_setting_slug ON mt.plugin_setting (slug, org_id, instance, workspace_id);

-- What changed, in the transaction that changed it: audit, webhooks and events read it. A reader that must miss nothing takes rows with
-- tx < pg_snapshot_xmin(pg_current_snapshot()), for numbers are given before commits happen, and goes on from the last (tx, id): none comes later
-- that sorts before it.
CREATE TABLE mt.change (
  id         bigint GENERATED ALWAYS AS IDENTITY,
  tx         xid8 NOT NULL DEFAULT pg_current_xact_id(),
  org_id     uuid,
  "table"    text NOT NULL,
  op         "char" NOT NULL,              -- I, U, D
  actor      uuid,
  request_id uuid,
  operation  text,
  before     jsonb,
  after      jsonb,
  at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tx, id));
CREATE INDEX change_org ON mt.change (org_id, tx, id);
ALTER TABLE mt.change ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mt.change TO mt_member USING (org_id = (SELECT mt.org_id()));

-- Hosts at which somebody follows events. Only while there is one are changes notified (channel mt_change): a notification serializes commits.
CREATE UNLOGGED TABLE mt.watcher (
  host  uuid PRIMARY KEY,
  until timestamptz NOT NULL);

-- Capacity: how many of something an organization has, and may have (cap NULL: no limit). scope is the nil id for the organization's own
-- counter; counters of "documents@workspace_id" have the workspace there, and fall back to the organization's cap.
CREATE TABLE mt.quota (
  org_id   uuid NOT NULL,
  resource text NOT NULL,
  scope    uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  used     bigint NOT NULL DEFAULT 0,
  cap      bigint,
  PRIMARY KEY (org_id, resource, scope)) WITH (fillfactor = 50);
ALTER TABLE mt.quota ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mt.quota TO mt_member USING (org_id = (SELECT mt.org_id()));

CREATE FUNCTION mt.quota_set(org uuid, resource text, cap bigint) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
  INSERT INTO mt.quota (org_id, resource, cap) VALUES (org, resource, cap)
  ON CONFLICT (org_id, resource, scope) DO UPDATE SET cap = excluded.cap $$;

-- The answers of requests with an Idempotency-Key. Read and written by the host itself, which names the organization.
CREATE TABLE mt.idempotency (
  org_id       uuid NOT NULL DEFAULT mt.org_id(),
  key          text NOT NULL,
  operation    text NOT NULL,
  body_hash    bytea NOT NULL,
  status       integer,                    -- NULL while it runs
  content_type text,
  body         bytea,
  lease_until  timestamptz,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, key));
CREATE INDEX idempotency_age ON mt.idempotency (created_at);
ALTER TABLE mt.idempotency ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mt.idempotency TO mt_member USING (org_id = (SELECT mt.org_id()));
