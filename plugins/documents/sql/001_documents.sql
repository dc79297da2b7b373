-- model: what its documents are embedded with; NULL is the workspace's. dimensions: the model's, where there is one.
CREATE TABLE documents.collection (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  id            uuid NOT NULL,
  name          text NOT NULL,
  description   text,
  model         text,
  dimensions    integer,
  version       bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT collection_place UNIQUE (org_id, workspace_id, id),
  CONSTRAINT collection_name UNIQUE (org_id, workspace_id, name),
  CONSTRAINT collection_model CHECK ((model IS NULL) = (dimensions IS NULL)),
  CONSTRAINT collection_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);

CREATE TABLE documents.document (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  id            uuid NOT NULL,
  collection_id uuid,
  sha256        text NOT NULL,
  file_name     text NOT NULL,
  content_type  text NOT NULL,
  title         text,
  bytes         bigint NOT NULL,
  status        text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'indexing', 'indexed', 'failed')),
  reason        text,
  attempts      integer NOT NULL DEFAULT 0,  -- of ingesting it; the queue gives up after five
  progress_done  integer NOT NULL DEFAULT 0, -- chunks embedded, of
  progress_total integer NOT NULL DEFAULT 0,
  metadata      jsonb NOT NULL DEFAULT '{}',
  language      text NOT NULL DEFAULT '',    -- ISO 639-1; '' is unknown
  content       text,                 -- the canonical text that every character range refers to
  chunk_count   integer NOT NULL DEFAULT 0,
  version       bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  indexed_at    timestamptz,
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(), -- of status and progress: what the stream of events follows
  PRIMARY KEY (org_id, id),
  CONSTRAINT document_content UNIQUE (org_id, workspace_id, sha256),
  CONSTRAINT document_metadata CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 16384),
  CONSTRAINT document_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE,
  CONSTRAINT document_collection FOREIGN KEY (org_id, workspace_id, collection_id) REFERENCES documents.collection (org_id, workspace_id, id)
    ON DELETE SET NULL (collection_id));
CREATE INDEX document_list ON documents.document (org_id, workspace_id, id);
CREATE INDEX document_collection ON documents.document (org_id, workspace_id, collection_id, id);
CREATE INDEX document_updated ON documents.document (org_id, workspace_id, updated_at);
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
  language      text NOT NULL DEFAULT '',    -- ISO 639-1; '' is unknown
  added         bigint NOT NULL,
  PRIMARY KEY (org_id, id),
  CONSTRAINT chunk_document FOREIGN KEY (org_id, document_id) REFERENCES documents.document (org_id, id) ON DELETE CASCADE);
CREATE INDEX chunk_document ON documents.chunk (org_id, document_id, number);
CREATE INDEX chunk_added ON documents.chunk (org_id, workspace_id, added, id);

-- A chunk as each model sees it: mostly one row, two while the workspace's model changes. Its own version: a model's index starts with its vectors.
CREATE TABLE documents.vector (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  document_id   uuid NOT NULL,
  chunk_id      uuid NOT NULL,
  model         text NOT NULL,
  vector        bytea NOT NULL,       -- fp32, little-endian, unit length
  added         bigint NOT NULL,
  PRIMARY KEY (org_id, chunk_id, model),
  CONSTRAINT vector_chunk FOREIGN KEY (org_id, chunk_id) REFERENCES documents.chunk (org_id, id) ON DELETE CASCADE);
CREATE INDEX vector_added ON documents.vector (org_id, workspace_id, model, added, chunk_id);
ALTER TABLE documents.vector ALTER COLUMN vector SET STORAGE EXTERNAL;  -- floats do not shrink

-- What every index must forget, by the version that removed it.
CREATE TABLE documents.removed (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  chunk_id      uuid NOT NULL,
  version       bigint NOT NULL,
  PRIMARY KEY (org_id, workspace_id, version, chunk_id),
  CONSTRAINT removed_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);

-- Contents that a document gave up: the blob goes when no document has it. Outlives workspace and organization.
CREATE TABLE documents.blob_gone (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  sha256        text NOT NULL,
  PRIMARY KEY (org_id, sha256));

-- One row a workspace: advanced in every transaction that changes its chunks or vectors; all of its indexes follow it. floor: removals up to it are
-- pruned, so an index that is older is built anew. next_model: what the workspace is changing to.
CREATE TABLE documents.index_version (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  version       bigint NOT NULL,
  model         text NOT NULL,
  dimensions    integer NOT NULL,
  floor         bigint NOT NULL DEFAULT 0,
  next_model      text,
  next_dimensions integer,
  PRIMARY KEY (org_id, workspace_id),
  CONSTRAINT index_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);

SELECT mt.tenant_table('documents.collection');
SELECT mt.tenant_table('documents.document', quota => 'documents@workspace_id', mask => '{content}');
-- Made from documents, hundreds a document: the log has the document.
SELECT mt.tenant_table('documents.chunk', log => false);
SELECT mt.tenant_table('documents.vector', log => false);
SELECT mt.tenant_table('documents.removed', log => false);
SELECT mt.tenant_table('documents.blob_gone', log => false);
SELECT mt.tenant_table('documents.index_version', log => false);
