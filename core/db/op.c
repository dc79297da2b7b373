/*
 * Exchanges: statements are queued in libpq's pipeline, end in the exchange's own Sync and are read
 * back in order. A failure inside one exchange never touches the next. A prepared statement counts
 * as prepared once its Parse is under way; should that Parse fail, the exchanges behind it fail
 * with 26000 and are run again by their fibers.
 */
#include <stdio.h>
#include <stdlib.h>

#include "db/internal.h"

mti_op *mti_op_create(void)
{
    mti_op *o = calloc(1, sizeof *o);
    if (!o)
        abort();
    o->answer = o->parse = -1;
    return o;
}

void mti_op_free(mti_op *o)
{
    PQclear(o->result);
    PQclear(o->error);
    free(o);
}

void mti_context_build(mti_context *x, const mt_call *c, const mti_db_role *role,
                       const mti_query *q, int64_t default_ms)
{
    const char *operation = c->operation ? c->operation : "";
    char request[37], subject[37];
    x->org[0] = '\0';
    if (!mti_uuid_is_nil(c->who.org_id))
        mti_uuid_format(c->who.org_id, x->org);
    strcpy(x->scope, "*");
    if (!mti_uuid_is_nil(c->who.workspace_id))
        mti_uuid_format(c->who.workspace_id, x->scope);
    mti_uuid_format(c->request_id, request);
    mti_uuid_format(c->who.subject_id, subject);
    char *at = stpcpy(stpcpy(stpcpy(stpcpy(x->actor, subject), " "), request), " ");
    size_t n = strnlen(operation, (size_t)(x->actor + sizeof x->actor - at) - 1);
    *(char *)mempcpy(at, operation, n) = '\0';
    int64_t left = mti_call_left_ms(c);
    x->role = role && role->name ? role->name : "none";
    x->custom = q && q->custom_plan;
    x->timed = left < default_ms;
    x->budget_ms = x->timed ? left : default_ms;
    mti_decimal(x->budget_ms > 0 ? (uint64_t)x->budget_ms : 1, x->timeout);
}

static const char *const context_sql[4] = {
#define CONTEXT                                                                                    \
    "SELECT "                                                                                      \
    "set_config('app.org_id',$1,true),set_config('app.scope',$2,true),set_config('app.actor',$3,"  \
    "true),set_config('role',$4,true)"
#define CUSTOM ",set_config('plan_cache_mode','force_custom_plan',true)"
    CONTEXT,
    CONTEXT ",set_config('statement_timeout',$5,true)",
    CONTEXT CUSTOM,
    CONTEXT CUSTOM ",set_config('statement_timeout',$5,true)",
};

static const Oid text_types[5] = {25, 25, 25, 25, 25};

bool mti_op_add_context(mti_conn *c, mti_op *o, const mti_context *x)
{
    unsigned variant = (x->timed ? 1u : 0u) | (x->custom ? 2u : 0u);
    int n = x->timed ? 5 : 4;
    char name[4] = {'c', (char)('0' + variant), '\0'};
    const char *values[5] = {x->org, x->scope, x->actor, x->role, x->timeout};
    if (!c->pg)
        return false;
    if (!(c->contexts & 1u << variant)) {
        if (!PQsendPrepare(c->pg, name, context_sql[variant], n, text_types))
            return false;
        c->contexts |= 1u << variant;
        o->steps++;
    }
    o->budget_ms = x->budget_ms;
    o->steps++;
    return PQsendQueryPrepared(c->pg, name, n, values, NULL, NULL, 0);
}

bool mti_op_add_sql(mti_conn *c, mti_op *o, const char *sql, bool answer)
{
    if (answer)
        o->answer = o->steps;
    o->steps++;
    return c->pg && PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0);
}

/* Adds Parse when this connection does not know the statement, and first drops one that the schema
 * has outgrown. */
static bool add_parse(mti_conn *c, mti_op *o, const mti_query *q)
{
    uintptr_t known = (uintptr_t)mti_map_get(c->prepared, mt_str(q->statement));
    memcpy(o->statement, q->statement, sizeof o->statement);
    o->generation = known >> 1;
    if (known && !(known & 1))
        return true;
    if (known & 1) {
        char sql[64];
        snprintf(sql, sizeof sql, "DEALLOCATE %s", q->statement);
        if (!mti_op_add_sql(c, o, sql, false))
            return false;
    }
    o->generation++;
    mti_map_put(c->prepared, mt_str(q->statement), (void *)(o->generation << 1));
    o->parse = o->steps++;
    return PQsendPrepare(c->pg, q->statement, q->sql, 0, NULL);
}

bool mti_op_add_query(mti_conn *c, mti_op *o, const mti_query *q, const mti_values *v, bool unnamed)
{
    unnamed |= !q->statement[0]; /* made by hand, not by mti_query_parse */
    if (!c->pg || (!unnamed && !add_parse(c, o, q)))
        return false;
    o->answer = o->steps++;
    int n = (int)q->n_params;
    if (unnamed)
        return PQsendQueryParams(c->pg, q->sql, n, NULL, v->values, v->lengths, v->formats, 0);
    return PQsendQueryPrepared(c->pg, q->statement, n, v->values, v->lengths, v->formats, 0);
}

bool mti_op_add_describe(mti_conn *c, mti_op *o, const mti_query *q)
{
    if (!c->pg || !PQsendPrepare(c->pg, "", q->sql, 0, NULL))
        return false;
    o->steps++;
    o->answer = o->steps++;
    return PQsendDescribePrepared(c->pg, "");
}

static void enqueue(mti_conn *c, mti_op *o)
{
    if (!c->head)
        c->head_since_us = mti_mono_us();
    *c->tail = o;
    c->tail = &o->next;
    c->queued++;
    o->sent = true;
}

bool mti_op_send(mti_conn *c, mti_op *o)
{
    if (!c->pg || !PQpipelineSync(c->pg))
        return false;
    enqueue(c, o);
    mti_conn_flush(c); /* should it lose the connection, the exchange is done and says so */
    return true;
}

bool mti_op_send_simple(mti_conn *c, mti_op *o, const char *sql)
{
    if (!c->pg || c->head || !PQexitPipelineMode(c->pg))
        return false;
    if (!PQsendQuery(c->pg, sql))
        return false;
    o->simple = true;
    enqueue(c, o);
    mti_conn_flush(c);
    return true;
}

static void forget_statement(mti_conn *c, const mti_op *o, bool stale)
{
    uintptr_t known = (uintptr_t)mti_map_get(c->prepared, mt_str(o->statement));
    if (!o->statement[0] || known >> 1 != o->generation)
        return; /* another exchange has prepared it again meanwhile */
    if (stale)
        mti_map_put(c->prepared, mt_str(o->statement), (void *)(known | 1));
    else
        mti_map_remove(c->prepared, mt_str(o->statement));
}

const char *mti_op_sqlstate(const mti_op *o)
{
    const char *state = o->error ? PQresultErrorField(o->error, PG_DIAG_SQLSTATE) : NULL;
    return state ? state : "";
}

/* What a failure says about the statements this connection has prepared. */
static void learn_from_failure(mti_conn *c, const mti_op *o)
{
    const char *state = mti_op_sqlstate(o);
    if (!strcmp(state, "0A000"))
        forget_statement(c, o, true);
    else if (!strcmp(state, "26000"))
        forget_statement(c, o, false);
}

static void finish(mti_conn *c, mti_op *o)
{
    c->head = o->next;
    if (!c->head)
        c->tail = &c->head;
    c->queued--;
    c->head_since_us = mti_mono_us();
    o->done = true;
    if (o->error && !o->lost)
        learn_from_failure(c, o);
    if (!o->abandoned) {
        mti_wake_one(&o->wait);
        return;
    }
    void (*then)(void *) = o->then;
    void *arg = o->then_arg;
    mti_op_free(o);
    if (then)
        then(arg);
}

void mti_op_drop_all(mti_conn *c)
{
    while (c->head) {
        c->head->lost = true;
        finish(c, c->head);
    }
}

static void take_result(mti_conn *c, mti_op *o, PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    bool failed = status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED ||
                  status == PGRES_BAD_RESPONSE;
    if (failed && o->current == o->parse)
        forget_statement(c, o, false);
    if (status == PGRES_FATAL_ERROR && !o->error) {
        o->error = r;
    } else if (!failed && (o->current == o->answer || o->simple)) {
        PQclear(o->result);
        o->result = r;
    } else {
        PQclear(r);
    }
}

/* A simple query's end: back into the pipeline for the next exchange. */
static void finish_simple(mti_conn *c, mti_op *o)
{
    if (!PQenterPipelineMode(c->pg)) {
        mti_conn_lost(c, "pipeline");
        return;
    }
    finish(c, o);
    mti_lane_ready(c);
}

void mti_op_read(mti_conn *c)
{
    unsigned epoch = c->epoch;
    int empty = 0;
    while (epoch == c->epoch && c->head && empty < 2 && !PQisBusy(c->pg)) {
        mti_op *o = c->head;
        PGresult *r = PQgetResult(c->pg);
        if (r && PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
            PQclear(r);
            finish(c, o);
            mti_lane_ready(c);
        } else if (r) {
            take_result(c, o, r);
            empty = 0;
        } else if (o->simple) {
            finish_simple(c, o);
        } else {
            o->current++;
            empty++;
        }
        if (epoch == c->epoch && PQstatus(c->pg) == CONNECTION_BAD)
            mti_conn_lost(c, "closed");
    }
}
