CREATE TABLE @IDENT@.item (
  org_id     uuid NOT NULL DEFAULT mt.org_id(),
  id         uuid NOT NULL,
  title      text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id));
SELECT mt.tenant_table('@IDENT@.item');
