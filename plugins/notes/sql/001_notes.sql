CREATE TABLE notes.note (
  org_id       uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id uuid NOT NULL,
  id           uuid NOT NULL,
  title        text NOT NULL,
  text         text NOT NULL,
  tags         text[] NOT NULL,
  pinned       boolean NOT NULL,
  version      bigint NOT NULL DEFAULT 1,
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT note_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
CREATE INDEX note_list ON notes.note (org_id, workspace_id, id);
SELECT mt.tenant_table('notes.note', quota => 'notes');
