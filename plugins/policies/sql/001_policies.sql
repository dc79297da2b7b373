-- A policy is a name with numbered versions, whose texts never change. One version may be enabled and one run as a shadow.
CREATE TABLE policies.policy (
  org_id          uuid NOT NULL DEFAULT mt.org_id(),
  id              uuid NOT NULL,
  name            text NOT NULL,
  latest_version  integer NOT NULL DEFAULT 1,
  enabled_version integer,
  shadow_version  integer,
  record          boolean NOT NULL DEFAULT false,   -- keep what it saw and decided
  version         bigint NOT NULL DEFAULT 1,        -- of this row
  created_by      uuid DEFAULT mt.subject_id(),
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT policy_name UNIQUE (org_id, name),
  CONSTRAINT policy_organization FOREIGN KEY (org_id) REFERENCES tenancy.organization (org_id) ON DELETE CASCADE);

CREATE TABLE policies.policy_version (
  org_id     uuid NOT NULL DEFAULT mt.org_id(),
  policy_id  uuid NOT NULL,
  number     integer NOT NULL,
  id         uuid NOT NULL,                         -- grows with time: the cursor of the list
  hook       text NOT NULL,
  priority   integer NOT NULL,
  source     text NOT NULL,
  created_by uuid DEFAULT mt.subject_id(),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, policy_id, number),
  CONSTRAINT policy_version_policy FOREIGN KEY (org_id, policy_id) REFERENCES policies.policy (org_id, id) ON DELETE CASCADE);
CREATE INDEX policy_version_list ON policies.policy_version (org_id, policy_id, id);
ALTER TABLE policies.policy
  ADD CONSTRAINT policy_enabled FOREIGN KEY (org_id, id, enabled_version) REFERENCES policies.policy_version (org_id, policy_id, number),
  ADD CONSTRAINT policy_shadow FOREIGN KEY (org_id, id, shadow_version) REFERENCES policies.policy_version (org_id, policy_id, number);

-- How often a shadow decided as the policy did, and how often not.
CREATE TABLE policies.shadow_count (
  org_id    uuid NOT NULL DEFAULT mt.org_id(),
  policy_id uuid NOT NULL,
  number    integer NOT NULL,
  same      bigint NOT NULL DEFAULT 0,
  differs   bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (org_id, policy_id, number),
  CONSTRAINT shadow_count_version FOREIGN KEY (org_id, policy_id, number) REFERENCES policies.policy_version (org_id, policy_id, number) ON DELETE CASCADE)
  WITH (fillfactor = 50);

-- The newest thousand of an organization: recorded runs, and every one on which a shadow differed. ctx is NULL when it was too large.
CREATE TABLE policies.decision (
  org_id         uuid NOT NULL DEFAULT mt.org_id(),
  id             uuid NOT NULL,
  policy_id      uuid NOT NULL,
  version        integer NOT NULL,                  -- that decided; 0: none was enabled
  shadow_version integer NOT NULL,                  -- 0: there was no shadow
  hook           text NOT NULL,
  operation      text NOT NULL,
  request_id     uuid,
  ctx            jsonb,
  decision       jsonb NOT NULL,
  shadow         jsonb,
  differs        boolean NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT decision_policy FOREIGN KEY (org_id, policy_id) REFERENCES policies.policy (org_id, id) ON DELETE CASCADE);
CREATE INDEX decision_list ON policies.decision (org_id, policy_id, id);

SELECT mt.tenant_table('policies.policy', quota => 'policies', notify => true);
SELECT mt.tenant_table('policies.policy_version');
SELECT mt.tenant_table('policies.shadow_count', log => false);
SELECT mt.tenant_table('policies.decision', log => false);
