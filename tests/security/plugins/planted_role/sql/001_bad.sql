RESET ROLE;
CREATE TABLE planted_role.item (org_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (org_id, id));
