/* What the files of the plugin share. */
#ifndef OPENAI_OPENAI_H
#define OPENAI_OPENAI_H

#include <mortise/json.h>

/* --- target.c: whom a name means --- */

typedef struct target {
    mt_slice name;               /* as it was asked for */
    mt_slice agent_id;           /* the null slice: a model */
    mt_slice slug;
    int64_t created;
    mt_llm_model model;          /* when it is one */
} target;

/* X-Workspace-Id, the key's workspace, the default one, or the only one; the call then acts in it. *entered is false when there are several and none
   was named: models do without. MT_NOT_FOUND for a foreign one, with the problem set. Suspends. */
mt_status target_enter_workspace(mt_call *c, bool *entered);
/* Enters the workspace and finds a model or, there, an agent. MT_NOT_FOUND with the problem set. Suspends. */
mt_status target_find(mt_call *c, mt_slice name, target *out);
/* A model by its name; false when nobody has it. */
bool target_find_model(mt_call *c, mt_slice name, mt_llm_model *out);
/* 400 with OpenAI's words. */
mt_status refuse(mt_call *c, const char *code, const char *detail, const char *pointer);

/* --- messages.c --- */

typedef struct asked {
    mt_slice system, messages;   /* system messages joined; the others as JSON, contents as plain texts */
    mt_slice dialogue;           /* only user and assistant texts, for an agent */
} asked;

mt_status read_asked(mt_call *c, asked *out);

/* --- completion.c --- */

typedef struct completion {
    mt_call *c;
    target to;
    bool stream, include_usage, begun;
    mt_slice id, model;
    int64_t created;
    mt_llm_counts counts;
} completion;

/* One chunk: delta is a JSON object; finish may be the null slice. */
mt_status completion_chunk(completion *k, mt_slice delta, mt_slice finish, mt_slice extra);
mt_status completion_text(completion *k, mt_slice text);
/* Ends the stream, or answers whole. tool_calls: JSON array or the null slice; extra: the agent's answer or the null slice. */
mt_status completion_end(completion *k, mt_slice text, mt_slice tool_calls, mt_slice extra);
/* OpenAI's shape of {id, name, arguments}; indexed: as a delta has them. */
mt_status completion_tool_calls(mt_call *c, mt_slice calls, bool indexed, mt_slice *json);

/* --- the operations --- */

mt_status on_chat(void *self, mt_call *c);
mt_status on_embeddings(void *self, mt_call *c);
mt_status on_models(void *self, mt_call *c);
mt_status on_model(void *self, mt_call *c);

#endif
