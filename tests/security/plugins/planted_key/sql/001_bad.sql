CREATE TABLE planted_key.item (org_id uuid NOT NULL DEFAULT mt.org_id(), id uuid NOT NULL, other uuid, PRIMARY KEY (org_id, id), UNIQUE (id));
SELECT mt.tenant_table('planted_key.item');
