CREATE TABLE documents.document (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  id            uuid NOT NULL,
  sha256        text NOT NULL,
  file_name     text NOT NULL,
  content_type  text NOT NULL,
  title         text,
  bytes         bigint NOT NULL,
  status        text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'indexing', 'indexed', 'failed')),
  reason        text,
  attempts      integer NOT NULL DEFAULT 0,  -- of ingesting it; the queue gives up after five
  content       text,                 -- the canonical text that every character range refers to
  chunk_count   integer NOT NULL DEFAULT 0,
  version       bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  indexed_at    timestamptz,
  PRIMARY KEY (org_id, id),
  CONSTRAINT document_content UNIQUE (org_id, workspace_id, sha256),
  CONSTRAINT document_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
CREATE INDEX document_list ON documents.document (org_id, workspace_id, id);
CREATE INDEX document_blob ON documents.document (org_id, sha256);

-- added: the index version of the workspace that brought the chunk.
CREATE TABLE documents.chunk (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  document_id   uuid NOT NULL,
  id            uuid NOT NULL,
  number        integer NOT NULL,
  section       text NOT NULL,
  page          integer,
  start_char    integer NOT NULL,
  end_char      integer NOT NULL,
  tokens        integer NOT NULL,
  text          text NOT NULL,
  vector        bytea NOT NULL,       -- fp32, little-endian, unit length
  added         bigint NOT NULL,
  PRIMARY KEY (org_id, id),
  CONSTRAINT chunk_document FOREIGN KEY (org_id, document_id) REFERENCES documents.document (org_id, id) ON DELETE CASCADE);
CREATE INDEX chunk_document ON documents.chunk (org_id, document_id, number);
CREATE INDEX chunk_added ON documents.chunk (org_id, workspace_id, added, id);

-- What an index must forget, by the version that removed it.
CREATE TABLE documents.removed (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  chunk_id      uuid NOT NULL,
  version       bigint NOT NULL,
  PRIMARY KEY (org_id, workspace_id, version, chunk_id));

-- One row a workspace: advanced in every transaction that changes its chunks.
CREATE TABLE documents.index_version (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  version       bigint NOT NULL,
  model         text NOT NULL,
  dimensions    integer NOT NULL,
  PRIMARY KEY (org_id, workspace_id),
  CONSTRAINT index_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);

SELECT mt.tenant_table('documents.document', quota => 'documents@workspace_id', mask => '{content}');
SELECT mt.tenant_table('documents.chunk', mask => '{text,vector}');
SELECT mt.tenant_table('documents.removed');
SELECT mt.tenant_table('documents.index_version');
