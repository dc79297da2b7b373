CREATE TABLE @IDENT@.item (
  org_id     uuid NOT NULL DEFAULT mt.org_id(),
  id         uuid NOT NULL,
  title      text NOT NULL,
  done       boolean NOT NULL,
  version    bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT item_title UNIQUE (org_id, title));
SELECT mt.tenant_table('@IDENT@.item');
