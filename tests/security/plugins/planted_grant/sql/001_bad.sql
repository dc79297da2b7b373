CREATE TABLE planted_grant.item (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, PRIMARY KEY (org_id, id));
SELECT mt.tenant_table('planted_grant.item');
CREATE POLICY all_see ON planted_grant.item TO PUBLIC USING (true);
