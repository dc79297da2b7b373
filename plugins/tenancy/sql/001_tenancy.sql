-- An organization's row is keyed by the organization itself. Limits: NULL is none; they are the plan's unless the platform set others.
CREATE TABLE tenancy.organization (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  slug          text NOT NULL,
  name          text NOT NULL,
  plan_tier     text NOT NULL,
  status        text NOT NULL DEFAULT 'active',
  settings      jsonb NOT NULL DEFAULT '{}',
  contact_name  text,
  contact_email text,
  max_workspaces              bigint,
  max_documents_per_workspace bigint,
  version       bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id),
  CONSTRAINT organization_slug UNIQUE (slug));

CREATE TABLE tenancy.workspace (
  org_id      uuid NOT NULL DEFAULT mt.org_id(),
  id          uuid NOT NULL,
  slug        text NOT NULL,
  name        text NOT NULL,
  description text,
  settings    jsonb NOT NULL DEFAULT '{}',
  version     bigint NOT NULL DEFAULT 1,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT workspace_slug UNIQUE (org_id, slug),
  CONSTRAINT workspace_organization FOREIGN KEY (org_id) REFERENCES tenancy.organization (org_id) ON DELETE CASCADE);

CREATE TABLE tenancy.agent (
  org_id         uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id   uuid NOT NULL,
  id             uuid NOT NULL,
  slug           text NOT NULL,
  name           text NOT NULL,
  description    text,
  system_prompt  text NOT NULL,
  prompt_version integer NOT NULL DEFAULT 1,   -- the number of the system prompt in tenancy.agent_prompt
  model_provider text,
  model_name     text,
  temperature    double precision NOT NULL,
  enabled_tools  text[] NOT NULL,
  tool_config    jsonb NOT NULL,
  is_active      boolean NOT NULL DEFAULT true,
  version        bigint NOT NULL DEFAULT 1,
  created_at     timestamptz NOT NULL DEFAULT now(),
  updated_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT agent_slug UNIQUE (org_id, workspace_id, slug),
  CONSTRAINT agent_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
CREATE INDEX agent_list ON tenancy.agent (org_id, workspace_id, id);

-- Every system prompt that an agent has had, by number.
CREATE TABLE tenancy.agent_prompt (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  agent_id      uuid NOT NULL,
  number        integer NOT NULL,
  id            uuid NOT NULL,                 -- grows with time: the cursor of the list
  system_prompt text NOT NULL,
  created_by    uuid,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, agent_id, number),
  CONSTRAINT agent_prompt_agent FOREIGN KEY (org_id, agent_id) REFERENCES tenancy.agent (org_id, id) ON DELETE CASCADE);
CREATE INDEX agent_prompt_list ON tenancy.agent_prompt (org_id, agent_id, id);

-- id is the subject that acts: people, once there are any, have ids of the same kind. Only the hash of a key is kept. Columns that mt.credential has
-- are copied there, where keys are found before the organization is known.
CREATE TABLE tenancy.api_key (
  org_id          uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id    uuid,                        -- NULL: the whole organization
  id              uuid NOT NULL,
  kind            text NOT NULL DEFAULT 'key',
  name            text NOT NULL,
  key_prefix      text NOT NULL,
  hash            bytea NOT NULL,
  scopes          text[] NOT NULL,
  rate_per_minute integer,                     -- NULL: the host's default
  is_active       boolean NOT NULL DEFAULT true,
  platform        boolean NOT NULL DEFAULT false,
  expires_at      timestamptz,
  created_by      uuid,                        -- the subject that made it; NULL: the host itself
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT api_key_hash UNIQUE (hash),
  CONSTRAINT api_key_expiry CHECK (expires_at > created_at),
  CONSTRAINT api_key_organization FOREIGN KEY (org_id) REFERENCES tenancy.organization (org_id) ON DELETE CASCADE,
  CONSTRAINT api_key_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
CREATE INDEX api_key_list ON tenancy.api_key (org_id, workspace_id, id);

-- Apart from the key, so that noting a use does not empty the hosts' caches of keys.
CREATE TABLE tenancy.api_key_use (
  org_id       uuid NOT NULL DEFAULT mt.org_id(),
  key_id       uuid NOT NULL,
  last_used_at timestamptz NOT NULL,
  PRIMARY KEY (org_id, key_id),
  CONSTRAINT api_key_use_key FOREIGN KEY (org_id, key_id) REFERENCES tenancy.api_key (org_id, id) ON DELETE CASCADE) WITH (fillfactor = 70);

SELECT mt.tenant_table('tenancy.organization', directory => 'scope:organization');
SELECT mt.tenant_table('tenancy.workspace', quota => 'workspaces', directory => 'scope:workspace');
SELECT mt.tenant_table('tenancy.agent', quota => 'agents');
SELECT mt.tenant_table('tenancy.agent_prompt');
SELECT mt.tenant_table('tenancy.api_key', quota => 'api_keys', mask => '{hash}', directory => 'credential');
SELECT mt.tenant_table('tenancy.api_key_use', log => false);
