CREATE TABLE helpdesk.ticket (
  org_id       uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id uuid NOT NULL,
  id           uuid NOT NULL,
  title        text NOT NULL,
  state        text NOT NULL DEFAULT 'open',
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT ticket_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
CREATE INDEX ticket_list ON helpdesk.ticket (org_id, workspace_id, state, id);
CREATE TABLE helpdesk.entry (
  org_id     uuid NOT NULL DEFAULT mt.org_id(),
  ticket_id  uuid NOT NULL,
  id         uuid NOT NULL,
  text       text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  FOREIGN KEY (org_id, ticket_id) REFERENCES helpdesk.ticket (org_id, id) ON DELETE CASCADE);
CREATE INDEX entry_list ON helpdesk.entry (org_id, ticket_id, id);
SELECT mt.tenant_table('helpdesk.ticket');
SELECT mt.tenant_table('helpdesk.entry');
