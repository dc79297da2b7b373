CREATE TABLE cpp_tally.choice (
  org_id uuid NOT NULL DEFAULT mt.org_id(),
  choice text NOT NULL,
  votes  integer NOT NULL,
  PRIMARY KEY (org_id, choice));
SELECT mt.tenant_table('cpp_tally.choice');
