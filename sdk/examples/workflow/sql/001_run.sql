CREATE TABLE digest.run (
  org_id       uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id uuid NOT NULL,
  id           uuid NOT NULL,
  subject      text NOT NULL,
  step         text NOT NULL DEFAULT 'collect',
  passages     jsonb,
  text         text,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT run_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
CREATE INDEX run_list ON digest.run (org_id, workspace_id, id);
SELECT mt.tenant_table('digest.run');
