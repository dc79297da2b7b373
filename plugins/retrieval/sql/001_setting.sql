-- What a workspace's searches do when they do not say; members that are absent are the plugin's defaults.
CREATE TABLE retrieval.setting (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  settings      jsonb NOT NULL,
  updated_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, workspace_id),
  CONSTRAINT setting_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
SELECT mt.tenant_table('retrieval.setting');
