/*
 * Transactions: one connection of the write lane from the first query to the end (CONTRACT rule
 * 14). BEGIN travels with the first query, so that an empty transaction costs nothing. ROLLBACK is
 * sent without waiting: the connection goes back when it is done.
 */
#include <stdio.h>
#include <stdlib.h>

#include "db/internal.h"

typedef struct mti_db_session session;

static const char role_unknown[] = "?";

static const char *role_name(const mti_db_role *role)
{
    return role && role->name ? role->name : "none";
}

static mt_status fail_gone(mt_call *c)
{
    return mti_db_fail(c, MT_UNAVAILABLE, "database_unavailable",
                       "The database went away; nothing was changed. Try again shortly.");
}

static bool alive(const session *s)
{
    return s->conn && s->conn->epoch == s->epoch && s->conn->state == CONN_READY;
}

static void on_rolled_back(void *arg)
{
    mti_lane_give(arg);
}

/* Ends the session's transaction, in whatever state it is, without suspending. */
static void let_go(session *s)
{
    mti_conn *conn = s->conn;
    bool rollback = s->begun && alive(s);
    s->conn = NULL;
    s->depth = 0;
    s->begun = s->failed = false;
    if (!conn)
        return;
    mti_op *o = rollback ? mti_op_create() : NULL;
    if (!o) {
        mti_lane_give(conn);
        return;
    }
    o->abandoned = true;
    o->then = on_rolled_back;
    o->then_arg = conn;
    o->budget_ms = MTI_WAIT_MS;
    if (mti_op_add_sql(conn, o, "ROLLBACK", false) && mti_op_send(conn, o))
        return;
    mti_op_free(o);
    mti_conn_lost(conn, "write");
    mti_lane_give(conn);
}

void mti_tx_on_arena_reset(void *arg)
{
    mt_call *c = arg;
    let_go(c->db);
    c->db = NULL; /* its memory goes now */
}

/* What must be said before the next statement: BEGIN, the role and context when they change, the
 * time that is left. */
static bool add_preamble(mt_call *c, mti_op *o, const mti_db_role *role)
{
    session *s = c->db;
    mti_context x;
    char sql[64];
    mti_context_build(&x, c, role, NULL, s->conn->db->options.statement_timeout_ms);
    if (!s->begun || strcmp(s->role, x.role)) {
        if (!mti_op_add_sql(s->conn, o, s->begun ? "SET LOCAL ROLE NONE" : "BEGIN", false))
            return false;
        s->begun = true;
        s->role = mti_arena_strndup(&c->arena, x.role, strlen(x.role));
        return mti_op_add_context(s->conn, o, &x);
    }
    o->budget_ms = x.budget_ms;
    snprintf(sql, sizeof sql, "SET LOCAL statement_timeout=%s", x.timeout);
    return !x.timed || mti_op_add_sql(s->conn, o, sql, false);
}

/* Starts an exchange of the transaction; the caller adds its own statements and calls finish. */
static mt_status start(mt_call *c, const mti_db_role *role, mti_op **out)
{
    session *s = c->db;
    if (!s->conn) {
        MT_TRY(mti_lane_take(&mti_db_lanes(c)->lane[LANE_WRITE], c, &s->conn));
        s->epoch = s->conn->epoch;
    }
    if (!alive(s))
        return fail_gone(c);
    *out = mti_op_create();
    if (add_preamble(c, *out, role))
        return MT_OK;
    mti_op_free(*out);
    mti_conn_lost(s->conn, "write");
    return fail_gone(c);
}

/* Waits for an exchange that was (or could not be) sent; answers its failure. The exchange is freed
 * unless it succeeded. */
static mt_status finish(mt_call *c, mti_op *o, bool sent, const mti_query *q)
{
    session *s = c->db;
    mt_status status = MT_OK;
    if (!sent && s->conn->pg)
        mti_conn_lost(s->conn, "write");
    if (sent)
        mti_op_wait(c, o, true);
    if (!sent || o->lost)
        status = fail_gone(c);
    else if (o->error)
        status = mti_db_fail_result(c, o->error, q);
    if (!status)
        return MT_OK;
    s->failed = true;
    s->failure = status;
    mti_op_free(o);
    return status;
}

static mt_status fail_before(mt_call *c, mt_status status)
{
    c->db->failed = true;
    c->db->failure = status;
    return status;
}

mt_status mti_tx_run(mt_call *c, const mti_db_role *role, const mti_query *q, const mti_values *v,
                     mti_result **out)
{
    mti_op *o;
    mt_status status = start(c, role, &o);
    if (status)
        return fail_before(c, status);
    mti_conn *conn = c->db->conn;
    bool sent = mti_op_add_query(conn, o, q, v, q->custom_plan) && mti_op_send(conn, o);
    MT_TRY(finish(c, o, sent, q));
    mti_result_take(c, o, out);
    mti_op_free(o);
    return MT_OK;
}

/* A statement of the transaction's own (SAVEPOINT …) under whatever role holds now. */
static mt_status control(mt_call *c, const char *sql, bool *rolled_back)
{
    session *s = c->db;
    mti_op *o;
    mti_db_role now = {s->begun ? s->role : s->first_role.name};
    MT_TRY(start(c, &now, &o));
    bool sent = mti_op_add_sql(s->conn, o, sql, true) && mti_op_send(s->conn, o);
    MT_TRY(finish(c, o, sent, NULL));
    if (rolled_back)
        *rolled_back = !strcmp(PQcmdStatus(o->result), "ROLLBACK");
    mti_op_free(o);
    return MT_OK;
}

static mt_status control_numbered(mt_call *c, const char *verb, unsigned depth)
{
    char sql[48];
    snprintf(sql, sizeof sql, "%s mt_%u", verb, depth);
    return control(c, sql, NULL);
}

mt_status mti_db_begin(mt_call *c, const mti_db_role *role)
{
    session *s = mti_session(c);
    if (!mti_db_lanes(c))
        return mti_db_fail(c, MT_UNAVAILABLE, "database_unavailable",
                           "There is no database yet; try again shortly.");
    if (s->depth) {
        MT_TRY(control_numbered(c, "SAVEPOINT", s->depth + 1));
        s->depth++;
        return MT_OK;
    }
    s->depth = 1;
    s->begun = s->failed = false;
    s->first_role.name = role_name(role);
    return MT_OK;
}

/* The answer to COMMIT is the only proof: without it the outcome is unknown, and a lost one must
 * not be told as undone. */
static mt_status commit_outer(mt_call *c)
{
    session *s = c->db;
    bool rolled_back = false;
    mti_error before = c->error;
    if (s->failed || !s->begun) {
        mt_status failure = s->failed ? s->failure : MT_OK;
        let_go(s);
        c->error = before;
        return failure;
    }
    bool was_alive = alive(s);
    mt_status status = control(c, "COMMIT", &rolled_back);
    s->begun = status != MT_OK && alive(s) && PQtransactionStatus(s->conn->pg) != PQTRANS_IDLE;
    if (status == MT_UNAVAILABLE && was_alive && !alive(s))
        status = mti_db_fail(c, MT_UNAVAILABLE, "outcome_unknown",
                             "The database went away while the change was being made; look whether "
                             "it happened before trying again.");
    if (!status && rolled_back)
        status = mti_db_fail(c, MT_INTERNAL, "transaction_aborted",
                             "The request could not be completed.");
    let_go(s);
    return status;
}

mt_status mti_db_commit(mt_call *c)
{
    session *s = mti_session(c);
    if (!s->depth)
        return mti_db_fail(c, MT_INTERNAL, "no_transaction", "There is no transaction to commit.");
    if (s->depth == 1)
        return commit_outer(c);
    if (s->failed) {
        mti_error before = c->error;
        mt_status failure = s->failure;
        mti_db_rollback(c);
        c->error = before;
        return failure;
    }
    MT_TRY(control_numbered(c, "RELEASE SAVEPOINT", s->depth));
    s->depth--;
    return MT_OK;
}

void mti_db_rollback(mt_call *c)
{
    session *s = mti_session(c);
    mti_error before = c->error;
    if (s->depth <= 1) {
        let_go(s);
        return;
    }
    if (alive(s)) {
        char sql[48];
        snprintf(sql, sizeof sql, "ROLLBACK TO SAVEPOINT mt_%u", s->depth);
        mti_op *o = mti_op_create();
        bool sent = mti_op_add_sql(s->conn, o, sql, true) && mti_op_send(s->conn, o);
        if (finish(c, o, sent, NULL) == MT_OK) {
            mti_op_free(o);
            s->failed = false;
        }
        s->role = role_unknown; /* the savepoint's settings are back */
    }
    s->depth--;
    c->error = before;
}

void mti_db_abandon(mt_call *c)
{
    if (c->db)
        let_go(c->db);
}

static mt_status exec_on(mt_call *c, mti_conn *conn, const char *sql)
{
    mti_op *o = mti_op_create();
    bool sent = mti_op_send_simple(conn, o, sql);
    if (!sent && conn->pg)
        mti_conn_lost(conn, "write");
    if (sent)
        mti_op_wait(c, o, true);
    mt_status status = MT_OK;
    if (!sent || o->lost)
        status = mti_db_fail(c, MT_UNAVAILABLE, "outcome_unknown",
                             "The database went away while statements were running.");
    else if (o->error)
        status = mti_db_fail_result(c, o->error, NULL);
    mti_op_free(o);
    return status;
}

static mt_status exec_in_transaction(mt_call *c, const char *sql)
{
    session *s = c->db;
    mti_op *o;
    mt_status status = start(c, NULL, &o);
    if (status)
        return fail_before(c, status);
    bool sent = mti_op_add_sql(s->conn, o, "SELECT", false) && mti_op_send(s->conn, o);
    MT_TRY(finish(c, o, sent, NULL));
    mti_op_free(o);
    status = exec_on(c, s->conn, sql);
    s->role = role_unknown;
    return status ? fail_before(c, status) : MT_OK;
}

mt_status mti_db_exec(mt_call *c, const char *sql)
{
    session *s = mti_session(c);
    mti_conn *conn;
    s->sqlstate[0] = s->constraint[0] = s->message[0] = '\0';
    if (!mti_db_lanes(c))
        return mti_db_fail(c, MT_UNAVAILABLE, "database_unavailable",
                           "There is no database yet; try again shortly.");
    if (s->depth)
        return exec_in_transaction(c, sql);
    MT_TRY(mti_lane_take(&mti_db_lanes(c)->lane[LANE_WRITE], c, &conn));
    mt_status status = exec_on(c, conn, sql);
    if (conn->state == CONN_READY && PQtransactionStatus(conn->pg) != PQTRANS_IDLE)
        mti_conn_lost(conn, "left in a transaction");
    mti_lane_give(conn);
    return status;
}

static mti_description *describe_result(mt_call *c, const PGresult *r)
{
    mti_description *d = mti_arena_alloc(&c->arena, sizeof *d);
    d->n_params = (unsigned)PQnparams(r);
    d->n_columns = (unsigned)PQnfields(r);
    d->params = mti_arena_alloc(&c->arena, sizeof *d->params * (d->n_params + 1));
    d->columns = mti_arena_alloc(&c->arena, sizeof *d->columns * (d->n_columns + 1));
    for (unsigned i = 0; i < d->n_params; i++)
        d->params[i] = PQparamtype(r, (int)i);
    for (unsigned i = 0; i < d->n_columns; i++) {
        const char *name = PQfname(r, (int)i);
        d->columns[i] =
            (mti_column){mti_arena_strndup(&c->arena, name, strlen(name)), PQftype(r, (int)i)};
    }
    return d;
}

/* In a transaction of its own unless one is open: the schema that counts for a migration is the one
 * it has just made. */
mt_status mti_db_describe(mt_call *c, const mti_db_role *role, const mti_query *q,
                          mti_description **out)
{
    session *s = mti_session(c);
    mti_op *o;
    bool own = s->depth == 0;
    s->sqlstate[0] = s->constraint[0] = s->message[0] = '\0';
    if (own)
        MT_TRY(mti_db_begin(c, role));
    mt_status status = start(c, role, &o);
    if (!status) {
        bool sent = mti_op_add_describe(s->conn, o, q) && mti_op_send(s->conn, o);
        status = finish(c, o, sent, q);
    }
    if (!status) {
        *out = describe_result(c, o->result);
        mti_op_free(o);
    }
    if (own)
        let_go(s);
    return status;
}
