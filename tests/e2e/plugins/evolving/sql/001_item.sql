CREATE TABLE evolving.item (
  org_id uuid NOT NULL DEFAULT mt.org_id(),
  id     uuid NOT NULL,
  title  text NOT NULL,
  PRIMARY KEY (org_id, id));
SELECT mt.tenant_table('evolving.item');
