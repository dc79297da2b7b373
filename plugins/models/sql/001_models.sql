-- What was used: written in batches, one row a day, model and provider.
CREATE TABLE models.usage (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  day           date NOT NULL,
  model         text NOT NULL,
  provider      text NOT NULL,
  calls         bigint NOT NULL,
  errors        bigint NOT NULL,
  cancelled     bigint NOT NULL,
  input_tokens  bigint NOT NULL,
  cached_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  cost_microusd bigint NOT NULL,
  latency       bigint[] NOT NULL,   -- calls by the length of their answer: 48 buckets, half an octave each from 1 ms
  PRIMARY KEY (org_id, day, model, provider),
  CONSTRAINT usage_organization FOREIGN KEY (org_id) REFERENCES tenancy.organization (org_id) ON DELETE CASCADE);
SELECT mt.tenant_table('models.usage', log => false);

CREATE TABLE models.settings (
  org_id            uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id      uuid NOT NULL,
  default_model     text,
  allowed_models    text[],          -- NULL: all
  max_input_tokens  integer,
  max_output_tokens integer,
  version           bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (org_id, workspace_id),
  CONSTRAINT settings_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
SELECT mt.tenant_table('models.settings');

-- An organization's own models. A file lies below DATA/models/ORGANIZATION, named by its content.
CREATE TABLE models.model (
  org_id     uuid NOT NULL DEFAULT mt.org_id(),
  id         uuid NOT NULL,
  name       text NOT NULL,
  type       text NOT NULL,
  version    text NOT NULL,
  format     text NOT NULL,
  target     text,                   -- the platform's model that this is a name for
  config     jsonb NOT NULL,
  file_name  text,
  bytes      bigint NOT NULL,
  sha256     text,
  is_active  boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT model_name UNIQUE (org_id, name),
  CONSTRAINT model_organization FOREIGN KEY (org_id) REFERENCES tenancy.organization (org_id) ON DELETE CASCADE);
SELECT mt.tenant_table('models.model', quota => 'models');
