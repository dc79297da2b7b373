CREATE TABLE planted_undo.item (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, PRIMARY KEY (org_id, id));
SELECT mt.tenant_table('planted_undo.item');
ALTER TABLE planted_undo.item DISABLE ROW LEVEL SECURITY;
