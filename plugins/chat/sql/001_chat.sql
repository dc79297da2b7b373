CREATE TABLE chat.session (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  workspace_id  uuid NOT NULL,
  id            uuid NOT NULL,
  agent_id      uuid,
  subject_id    uuid,
  title         text NOT NULL,
  metadata      jsonb NOT NULL DEFAULT '{}',
  version       bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT session_workspace FOREIGN KEY (org_id, workspace_id) REFERENCES tenancy.workspace (org_id, id) ON DELETE CASCADE);
CREATE INDEX session_list ON chat.session (org_id, workspace_id, id);

CREATE TABLE chat.message (
  org_id        uuid NOT NULL DEFAULT mt.org_id(),
  session_id    uuid NOT NULL,
  id            uuid NOT NULL,
  role          text NOT NULL CHECK (role IN ('user', 'assistant')),
  content       text NOT NULL,
  sources       jsonb NOT NULL DEFAULT '[]',
  citations     jsonb NOT NULL DEFAULT '[]',
  unsupported   jsonb NOT NULL DEFAULT '[]',
  confidence    double precision,
  finish        text,
  language      text,
  usage         jsonb,
  agent_id      uuid,
  prompt_version integer,           -- of the agent's system prompt
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  CONSTRAINT message_session FOREIGN KEY (org_id, session_id) REFERENCES chat.session (org_id, id) ON DELETE CASCADE);
CREATE INDEX message_list ON chat.message (org_id, session_id, id);

SELECT mt.tenant_table('chat.session');
SELECT mt.tenant_table('chat.message', mask => '{content,sources,citations}');
