/* CONTRACT rule 5: what a failed query answers. PostgreSQL's own words stay in the session, for the
 * core's eyes and the log. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "db/internal.h"

struct mti_db_session *mti_session(mt_call *c)
{
    if (!c->db) {
        c->db = mti_arena_alloc(&c->arena, sizeof *c->db);
        mti_arena_defer(&c->arena, mti_tx_on_arena_reset, c);
    }
    return c->db;
}

const char *mti_db_sqlstate(const mt_call *c)
{
    return c->db ? c->db->sqlstate : "";
}

const char *mti_db_constraint(const mt_call *c)
{
    return c->db ? c->db->constraint : "";
}

const char *mti_db_message(const mt_call *c, int *position)
{
    if (position)
        *position = c->db ? c->db->position : 0;
    return c->db ? c->db->message : "";
}

static mt_status fail_http(mt_call *c, mt_status status, int http, const char *code,
                           const char *detail)
{
    memset(&c->error, 0, sizeof c->error);
    mti_fail(&c->error, status, code, "%s", detail);
    c->error.http = http;
    snprintf(c->error.owner, sizeof c->error.owner, "db");
    return status;
}

mt_status mti_db_fail(mt_call *c, mt_status status, const char *code, const char *detail)
{
    return fail_http(c, status, 0, code, detail);
}

typedef struct failure {
    const char *state; /* SQLSTATE or its beginning; the first match counts */
    mt_status status;
    int http;
    const char *code, *detail;
} failure;

static const failure failures[] = {
    {"23505", MT_CONFLICT, 409, "already_exists", "Something with these values exists already."},
    {"23P01", MT_CONFLICT, 409, "already_exists",
     "Something that excludes these values exists already."},
    {"23503", MT_INVALID, 422, "reference_not_found",
     "Something that is referred to does not exist."},
    {"23502", MT_INVALID, 422, "value_missing", "A required value is missing."},
    {"23514", MT_INVALID, 422, "value_refused", "A value is outside of what is allowed."},
    {"44000", MT_INVALID, 422, "value_refused", "A value is outside of what is allowed."},
    {"22", MT_INVALID, 422, "value_invalid", "A value has the wrong form or range."},
    {"40", MT_UNAVAILABLE, 503, "write_conflict", "Concurrent changes collided; try again."},
    {"55P03", MT_UNAVAILABLE, 503, "locked",
     "The row is being changed by another request; try again."},
    {"57014", MT_TIMEOUT, 504, "query_timeout", "The database did not answer in time."},
    {"25P03", MT_TIMEOUT, 504, "transaction_timeout", "The transaction was idle for too long."},
    {"08", MT_UNAVAILABLE, 503, "database_unavailable",
     "The database cannot be reached; try again shortly."},
    {"53", MT_UNAVAILABLE, 503, "database_overloaded",
     "The database is short of resources; try again shortly."},
    {"57P", MT_UNAVAILABLE, 503, "database_unavailable",
     "The database is restarting; try again shortly."},
    {"0A000", MT_UNAVAILABLE, 503, "schema_changed", "The schema has just changed; try again."},
    {"26000", MT_UNAVAILABLE, 503, "schema_changed", "The schema has just changed; try again."},
    {"", MT_INTERNAL, 500, "internal", "The request could not be completed."},
};

static mt_status status_of_http(int http)
{
    switch (http) {
    case 401:
        return MT_UNAUTHENTICATED;
    case 403:
        return MT_DENIED;
    case 404:
        return MT_NOT_FOUND;
    case 409:
        return MT_CONFLICT;
    case 412:
        return MT_PRECONDITION;
    case 413:
        return MT_TOO_LARGE;
    case 429:
        return MT_LIMITED;
    case 503:
        return MT_UNAVAILABLE;
    default:
        return http >= 400 && http < 500 ? MT_INVALID : MT_INTERNAL;
    }
}

/* MTnnn comes only from the core's own functions, which put a code into the message and a sentence
 * into the detail. */
static mt_status fail_own(mt_call *c, const PGresult *error, int http)
{
    const char *code = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(error, PG_DIAG_MESSAGE_DETAIL);
    return fail_http(c, status_of_http(http), http, code ? code : "refused",
                     detail ? detail : "The request was refused.");
}

static void remember(struct mti_db_session *s, const PGresult *error)
{
    const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(error, PG_DIAG_CONSTRAINT_NAME);
    const char *message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);
    const char *position = PQresultErrorField(error, PG_DIAG_STATEMENT_POSITION);
    snprintf(s->sqlstate, sizeof s->sqlstate, "%s", state ? state : "");
    snprintf(s->constraint, sizeof s->constraint, "%s", constraint ? constraint : "");
    snprintf(s->message, sizeof s->message, "%s", message ? message : "");
    s->position = position ? atoi(position) : 0;
}

static const failure *find(const char *state)
{
    const failure *f = failures;
    while (strncmp(state, f->state, strlen(f->state)))
        f++;
    return f;
}

mt_status mti_db_fail_result(mt_call *c, const PGresult *error, const mti_query *q)
{
    struct mti_db_session *s = mti_session(c);
    remember(s, error);
    if (!strncmp(s->sqlstate, "MT", 2))
        return fail_own(c, error, atoi(s->sqlstate + 2));
    const failure *f = find(s->sqlstate);
    if (f->status == MT_INTERNAL || !strncmp(s->sqlstate, "22", 2) || !strcmp(s->sqlstate, "23514"))
        mti_log(MTI_LOG_WARN, "db.query_failed", "query=%s sqlstate=%s operation=%s",
                q && q->name ? q->name : "-", s->sqlstate, c->operation ? c->operation : "");
    bool deleting = q && q->sql && !strncasecmp(q->sql, "DELETE", 6);
    if (deleting && !strcmp(s->sqlstate, "23503"))
        return fail_http(c, MT_CONFLICT, 409, "still_referenced",
                         "Something else still refers to it.");
    return fail_http(c, f->status, f->http, f->code, f->detail);
}
