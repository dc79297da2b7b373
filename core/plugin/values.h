/* The values of a request that queries and handlers reach by name (CONTRACT.md rule 3). Filled by request/, lives as long as the call. */
#ifndef MTI_PLUGIN_VALUES_H
#define MTI_PLUGIN_VALUES_H

#include "contract/contract.h"

struct mti_values {
    const mti_operation *op;
    mt_slice params[MTI_MAX_PARAMS];         /* decoded path parameters, in the operation's order */
    json_t *query;                           /* validated query parameters with defaults; NULL when the operation has none */
    json_t *body;                            /* validated body with defaults; NULL without one */
    mt_slice if_match;                       /* the version inside the entity tag; {NULL,0} when not sent */
    mt_slice cursor;                         /* last id of the page before, or the maximum UUID */
    int64_t limit;                           /* items a page */
    mt_slice new_id;                         /* one fresh UUIDv7 a request, made on first use */
};

/* A parameter, query value or body member as text; *found tells absent from null. Strings bare, others as JSON text. */
mt_slice mti_value_find(mt_call *c, mt_slice name, bool *found);
mt_slice mti_value_text(mt_call *c, const json_t *v);

/* Runs a named query of a contract with arguments bound by name: args, then the request's values, then the host's own. Database errors are
 * mapped through the contract's x-constraints. Suspends. */
mt_status mti_query_run(mt_call *c, const mti_contract *k, const mti_db_role *role, const mti_query *q, const mt_field *args, size_t n_args, mti_result **out);

/* mti_db_commit, recorded in the call's trace as the queries are. */
mt_status mti_query_commit(mt_call *c);

#endif
