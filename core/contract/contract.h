/*
 * A plugin's contract: api.json (operations and schemas) with its queries.sql. Loaded once at plugin load, checked against the database at
 * activation, immutable afterwards, and kept until the process ends (requests hold pointers into it). Any thread may read.
 */
#ifndef MTI_CONTRACT_CONTRACT_H
#define MTI_CONTRACT_CONTRACT_H

#include <mortise/plugin.h>
#include "db/db.h"
#include "json/json.h"
#include "json/schema.h"

enum { MTI_MAX_PARAMS = 8 };                 /* path parameters of one operation */

typedef enum mti_content { MTI_CONTENT_NONE, MTI_CONTENT_JSON, MTI_CONTENT_MULTIPART } mti_content;

/* What a database constraint means to the client. */
typedef struct mti_constraint {
    const char *name, *code, *pointer;
    int status;
} mti_constraint;

typedef struct mti_operation {
    const char *id;                          /* "agents.create" */
    unsigned number;                         /* mti_operation_number() of it */
    const char *method;                      /* upper case */
    const char *path;                        /* template below the base path: "/workspaces/{workspace_id}/agents" */
    const char *permission;                  /* NULL: public (only the host's own contract may) */
    int permission_id;                       /* interned; -1 for public */
    const char *rate_class;                  /* "default", "query", "upload" */
    const char *params[MTI_MAX_PARAMS];      /* path parameters in order */
    unsigned n_params;
    mti_schema *param_checks[MTI_MAX_PARAMS];/* of x-path; NULL: none given, then a name that ends with _id wants a UUID */
    const mti_query **queries;               /* x-query; NULL with a handler */
    unsigned n_queries;
    const char *handler;                     /* x-handler */
    mt_handler_fn run;                       /* bound at plugin load */
    json_t *query_schema;                    /* of the query parameters, an object schema; NULL: none allowed */
    mti_schema *query_check;
    const char *body;                        /* schema name; NULL: no body */
    mti_schema *body_check;
    mti_content content;
    size_t body_limit;                       /* 0: the default of the content type */
    const char *body_limit_option;           /* an option in MiB in its place; NULL: none */
    const char *returns;                     /* schema name, without "[]"; NULL: nothing or a raw answer */
    bool list;                               /* x-returns ends with "[]" */
    _Atomic(mti_schema *) returns_check;     /* see mti_operation_returns_check */
    int status;                              /* of success */
    bool stream;                             /* x-stream: sse */
    bool openai_problems;                    /* x-problem: openai: errors in the format of OpenAI's API */
    enum { MTI_IF_MATCH_NO, MTI_IF_MATCH_OPTIONAL, MTI_IF_MATCH_REQUIRED } if_match;
    bool platform;                           /* x-scope: platform */
    struct mti_contract *contract;
    uint16_t plugin;                         /* slot */
    void *metric;                            /* the request layer's counters: malloc'ed there, freed with the contract */
} mti_operation;

typedef struct mti_contract {
    mti_arena arena;
    const char *slug, *dir;
    mti_operation *operations;
    unsigned n_operations;
    mti_query *queries;
    size_t n_queries;
    const mti_constraint *constraints;
    unsigned n_constraints;
    json_t *api;                             /* the expanded document: {paths, components} */
    const mti_description **descriptions;    /* by query, after check; NULL before */
} mti_contract;

/* Reads DIR/api.json and DIR/queries.sql (either may be missing). Errors name file and line or JSON pointer. */
mt_status mti_contract_load(const char *slug, const char *dir, mti_contract **out, mti_error *e);
void mti_contract_destroy(mti_contract *k);

/* Prepares every query under the role and compares parameters and columns with api.json (CONTRACT.md rule 2). In a fiber. The first drift is in c->error. */
mt_status mti_contract_check(mt_call *c, const mti_db_role *role, mti_contract *k);

/* What the JSON of a successful answer has to be, as /v1/openapi.json tells; compiled when it is first asked for. NULL: the contract says nothing.
 * Any thread. */
const mti_schema *mti_operation_returns_check(const mti_operation *op);

const mti_query *mti_contract_query(const mti_contract *k, mt_slice name);
/* The parameter types of a query after check; NULL before. */
const mti_description *mti_contract_description(const mti_contract *k, const mti_query *q);
const mti_constraint *mti_contract_constraint(const mti_contract *k, const char *name);

/* OpenAPI 3.1 over several contracts: {openapi, info, servers, paths, components}; server_url "/v1". Caller owns the tree. Two contracts with one
 * path and method, or one schema name, are MT_CONFLICT. */
mt_status mti_openapi(mti_contract *const *list, unsigned n, const char *version, json_t **out, mti_error *e);
/* The readable page of it: one self-contained HTML document without scripts. */
mt_status mti_openapi_page(const json_t *openapi, mti_buf *out);

/* Permission names as small numbers, process-wide, never freed: the same name gives the same number. Any thread. -1 when 1,024 are used up. */
int mti_permission_id(const char *name);
unsigned mti_permission_count(void);
const char *mti_permission_name(int id);

typedef struct mti_permset { uint64_t bits[16]; } mti_permset;
static inline bool mti_permset_has(const mti_permset *s, int id) { return id >= 0 && (s->bits[id >> 6] >> (id & 63) & 1); }
/* Adds a grant: a name, "agent.*" or "*" (every permission known now). */
void mti_permset_grant(mti_permset *s, mt_slice grant);

#endif
