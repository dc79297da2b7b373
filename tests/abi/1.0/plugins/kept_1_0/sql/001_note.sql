CREATE TABLE kept_1_0.note (
  org_id uuid NOT NULL DEFAULT mt.org_id(),
  id     uuid NOT NULL,
  text   text NOT NULL,
  PRIMARY KEY (org_id, id),
  CONSTRAINT note_text UNIQUE (org_id, text));
SELECT mt.tenant_table('kept_1_0.note');
