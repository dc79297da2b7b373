CREATE TABLE planted.item (
  org_id uuid NOT NULL DEFAULT mt.org_id(),
  id     uuid NOT NULL,
  text   text NOT NULL,
  PRIMARY KEY (org_id, id));
SELECT mt.tenant_table('planted.item');
