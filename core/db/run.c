/* One query outside a transaction: context, statement and Sync in one trip, and what may be tried
 * again (CONTRACT rules 5, 13, 17–19). */
#include <limits.h>
#include <stdlib.h>

#include "base/log.h"
#include "db/internal.h"

typedef struct retries {
    unsigned lost, collided, prepared;
} retries;

static bool is_text(const mti_param *p)
{
    return p->value.p && !p->binary;
}

/* Texts are copied, because libpq wants a NUL behind them: not into the call's memory, which a job of thousands of
 * writes would fill. */
static mt_status bind(mt_call *c, const mti_query *q, const mti_param *params, mti_values *v)
{
    size_t size = 0;
    v->texts = NULL;
    for (unsigned i = 0; i < q->n_params; i++)
        size += is_text(&params[i]) ? params[i].value.len + 1 : 0;
    if (size > INT_MAX || !(v->texts = malloc(size + 1)))
        return mti_db_fail(c, MT_TOO_LARGE, "parameters_too_large",
                           "This is too much for one statement.");
    char *at = v->texts;
    for (unsigned i = 0; i < q->n_params; i++) {
        mt_slice s = params[i].value;
        v->formats[i] = params[i].binary;
        v->lengths[i] = (int)s.len;
        v->values[i] = s.p;
        if (!is_text(&params[i]))
            continue;
        if (memchr(s.p, '\0', s.len)) /* libpq would cut the text there, silently */
            return mti_db_fail(c, MT_INVALID, "nul_character",
                               "A text holds U+0000, which cannot be stored.");
        v->values[i] = memcpy(at, s.p, s.len);
        at[s.len] = '\0';
        at += s.len + 1;
    }
    return MT_OK;
}

static mt_status wait_shielded(mti_op *o)
{
    mti_fiber_shield(true);
    while (!o->done)
        mti_wait(&o->wait, -1);
    mti_fiber_shield(false);
    return MT_OK;
}

mt_status mti_op_wait(mt_call *c, mti_op *o, bool shielded)
{
    enum { GRACE_MS = 100 }; /* the server's own time-out should speak first */
    if (o->done)
        return MT_OK;
    if (shielded)
        return wait_shielded(o);
    int64_t left = mti_call_left_ms(c);
    mt_status status = mti_wait(&o->wait, left == INT64_MAX ? -1 : left + GRACE_MS);
    if (o->done)
        return MT_OK;
    o->abandoned = true;
    return status == MT_CANCELLED
               ? mti_db_fail(c, status, "cancelled", "The request was cancelled.")
               : mti_db_fail(c, MT_TIMEOUT, "query_timeout",
                             "The database did not answer in time.");
}

/* Sends the exchange on conn and waits for it. An exchange that could not be sent is answered as
 * lost and not sent. */
static mt_status exchange(mt_call *c, mti_conn *conn, const mti_context *x, const mti_query *q,
                          const mti_values *v, mti_op **out)
{
    mti_op *o = mti_op_create();
    *out = o;
    if (!mti_op_add_context(conn, o, x) || !mti_op_add_query(conn, o, q, v, false) ||
        !mti_op_send(conn, o)) {
        o->lost = true;
        if (conn->pg)
            mti_conn_lost(conn, "write");
        return MT_OK;
    }
    return mti_op_wait(c, o, conn->lane->kind == LANE_WRITE);
}

static mt_status attempt(mt_call *c, mti_pool *lane, const mti_db_role *role, const mti_query *q,
                         const mti_values *v, mti_op **out)
{
    mti_conn *conn;
    mti_context x;
    int64_t budget = lane->kind == LANE_READ ? MTI_READ_BUDGET_MS
                                             : lane->lanes->db->options.statement_timeout_ms;
    MT_TRY(mti_lane_take(lane, c, &conn));
    mti_context_build(&x, c, role, q, budget);
    mt_status status = exchange(c, conn, &x, q, v, out);
    if (status && lane->kind == LANE_SLOW)
        mti_lane_cancel(conn);
    else
        mti_lane_give(conn);
    return status;
}

static bool is_state(const mti_op *o, const char *beginning)
{
    return !strncmp(mti_op_sqlstate(o), beginning, strlen(beginning));
}

/* Whether the failed exchange is worth another attempt, and in which lane. */
static bool try_again(mt_call *c, const mti_op *o, mti_pool **lane, retries *r)
{
    bool write = (*lane)->kind == LANE_WRITE;
    if (mti_call_left_ms(c) == 0)
        return false;
    if (o->lost)
        return !(write && o->sent) && r->lost++ < 1;
    if (is_state(o, "57P") && !write)
        return r->lost++ < 1;
    if (is_state(o, "0A000") || is_state(o, "26000"))
        return r->prepared++ < 2;
    if (is_state(o, "40001") || is_state(o, "40P01"))
        return r->collided++ < 2 && mti_sleep(2 + mti_mono_us() % 16) == MT_OK;
    if (is_state(o, "57014") && (*lane)->kind == LANE_READ) {
        *lane = &(*lane)->lanes->lane[LANE_SLOW];
        atomic_fetch_add(&(*lane)->lanes->db->moved, 1);
        return true;
    }
    return false;
}

static mt_status fail_lost(mt_call *c, const mti_op *o, const mti_pool *lane)
{
    if (lane->kind == LANE_WRITE && o->sent)
        return mti_db_fail(c, MT_UNAVAILABLE, "outcome_unknown",
                           "The database went away while the change was being made; look whether "
                           "it happened before trying again.");
    return mti_db_fail(c, MT_UNAVAILABLE, "database_unavailable",
                       "The database cannot be reached; try again shortly.");
}

static mt_status conclude(mt_call *c, mti_op *o, const mti_query *q, const mti_pool *lane,
                          mti_result **out)
{
    mt_status status;
    if (o->lost)
        status = fail_lost(c, o, lane);
    else if (o->error || !o->result)
        status = mti_db_fail_result(c, o->error, q);
    else
        status = mti_result_take(c, o, out);
    mti_op_free(o);
    return status;
}

/* In the lane that the query asks for, and again where that may help. */
static mt_status run_alone(mt_call *c, const mti_db_role *role, const mti_query *q,
                           const mti_values *v, mti_result **out)
{
    mti_pool *lane = &mti_db_lanes(c)->lane[q->lane];
    retries r = {0};
    for (;;) {
        mti_op *o;
        MT_TRY(attempt(c, lane, role, q, v, &o));
        if ((!o->lost && !o->error) || !try_again(c, o, &lane, &r))
            return conclude(c, o, q, lane, out);
        mti_op_free(o);
    }
}

mt_status mti_db_run(mt_call *c, const mti_db_role *role, const mti_query *q,
                     const mti_param *params, mti_result **out)
{
    struct mti_db_session *s = mti_session(c);
    mti_values v;
    *out = NULL;
    s->sqlstate[0] = s->constraint[0] = s->message[0] = '\0';
    if (!mti_db_lanes(c))
        return mti_db_fail(c, MT_UNAVAILABLE, "database_unavailable",
                           "There is no database yet; try again shortly.");
    if (mti_call_left_ms(c) == 0)
        return mti_db_fail(c, MT_TIMEOUT, "deadline", "The time for this request is over.");
    mt_status status = bind(c, q, params, &v);
    if (status == MT_OK)
        status = s->depth ? mti_tx_run(c, role, q, &v, out) : run_alone(c, role, q, &v, out);
    free(v.texts);
    return status;
}
