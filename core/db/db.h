/*
 * PostgreSQL for fibers: three lanes a loop. Short reads share a few pipelined read-only connections; writes and
 * transactions take a pooled connection, one call at a time; slow reads have a few connections of their own, capped per organization.
 * The tenant context travels in the same round trip as its query. Functions are called in a fiber on the call's loop unless said.
 */
#ifndef MTI_DB_DB_H
#define MTI_DB_DB_H

#include "db/query.h"
#include "loop/call.h"

typedef struct mti_db mti_db;                 /* process-wide: settings, state, listener */
typedef struct mti_result mti_result;

typedef struct mti_db_options {
    const char *url;                          /* libpq connection string or URI; direct or session-pooled */
    unsigned read_connections, write_connections, slow_connections;   /* a loop; 0: 2, 8, 2 */
    int connect_timeout_ms, statement_timeout_ms;                     /* 0: 5,000 and 30,000 */
} mti_db_options;

/* Any thread, before the loops run. Copies the options. Connects nothing yet. */
mti_db *mti_db_create(const mti_db_options *o);
void mti_db_destroy(mti_db *db);
/* On each loop's thread: opens its lanes in the background and keeps reconnecting (back-off 50 ms … 2 s). */
void mti_db_attach(mti_db *db, mti_loop *l);
void mti_db_detach(mti_db *db, mti_loop *l);
/* Any thread. True while queries can be answered; changes are told to the callback on a loop's thread. */
bool mti_db_up(const mti_db *db);
void mti_db_on_state(mti_db *db, void (*fn)(void *arg, bool up), void *arg);

typedef struct mti_db_stats {
    unsigned connections;                     /* ready now */
    unsigned long long reads_moved;           /* reads over 250 ms that were cancelled and run again in the slow lane */
    unsigned long long connects, losses;
} mti_db_stats;
/* Any thread. */
void mti_db_get_stats(const mti_db *db, mti_db_stats *out);

/* Which role and settings a query runs under. Built from the call, except the role. */
typedef struct mti_db_role {
    const char *name;                         /* e.g. "mt_p_agents"; NULL: the connection's own role (core only) */
} mti_db_role;

/* A parameter: text format unless binary. p == NULL is NULL. */
typedef struct mti_param {
    mt_slice value;
    bool binary;
} mti_param;

/* Runs one query in the lane it asks for, or in the call's open transaction; q->n_params values.
 * The result belongs to the call's arena (freed with it, or earlier by mti_result_free).
 * Failures fill c->error with code, status and pointerless detail as CONTRACT.md rule 5 (unique → MT_CONFLICT 409, …):
 * c->error.code is the constraint-independent code; mti_db_sqlstate/constraint tell more.
 * MT_UNAVAILABLE (database down or pool wait over 2 s, or outcome_unknown for a lost write), MT_TIMEOUT, MT_CANCELLED. No row is MT_OK with 0 rows. */
mt_status mti_db_run(mt_call *c, const mti_db_role *role, const mti_query *q, const mti_param *params, mti_result **out);

/* A transaction: all of the call's queries until commit run on one connection. Nested begin is a savepoint.
 * commit answers only after the server's own answer. An open transaction is rolled back when the call's arena is reset. */
mt_status mti_db_begin(mt_call *c, const mti_db_role *role);
mt_status mti_db_commit(mt_call *c);
void mti_db_rollback(mt_call *c);
/* Rolls back whatever the call left open, at any depth. Nothing without a transaction. Never suspends. */
void mti_db_abandon(mt_call *c);

const char *mti_db_sqlstate(const mt_call *c);     /* of the last failure, "" when none */
const char *mti_db_constraint(const mt_call *c);
/* PostgreSQL's own words and the byte of the statement they mean (1-based, 0: unknown; position may be NULL). For operators only: never
 * into an answer, it may hold values. Lives until the next query. */
const char *mti_db_message(const mt_call *c, int *position);

/* Results: text format. Row and column are 0-based. */
unsigned mti_result_rows(const mti_result *r);
unsigned mti_result_columns(const mti_result *r);
const char *mti_result_name(const mti_result *r, unsigned column);
unsigned mti_result_type(const mti_result *r, unsigned column);       /* type oid */
int mti_result_column(const mti_result *r, const char *name);         /* −1 when absent */
bool mti_result_null(const mti_result *r, unsigned row, unsigned column);
mt_slice mti_result_get(const mti_result *r, unsigned row, unsigned column);  /* {NULL,0} for NULL; NUL-terminated otherwise */
long mti_result_affected(const mti_result *r);
void mti_result_free(mti_result *r);

/* Describes a query: parameter and column types, without running it (contract checks at activation). Own connection of the write lane. */
typedef struct mti_column { const char *name; unsigned type; } mti_column;
typedef struct mti_description { unsigned n_params; unsigned *params; unsigned n_columns; mti_column *columns; } mti_description;
mt_status mti_db_describe(mt_call *c, const mti_db_role *role, const mti_query *q, mti_description **out);

/* LISTEN: fn runs on the loop's thread for each notification of channel; after a reconnect it is called once with a NULL payload: drop all that is cached.
 * One connection a host does the listening; it posts to every loop that subscribed. */
void mti_db_listen(mti_db *db, mti_loop *l, const char *channel, void (*fn)(void *arg, const char *payload), void *arg);
/* No fn of this loop is called any more, whatever was posted. On the loop's thread. */
void mti_db_mute(mti_db *db, mti_loop *l);

/* Wide-open SQL of the core itself (supervisor, migrations, tests): simple protocol, several statements; on the write lane as the connection's own role. */
mt_status mti_db_exec(mt_call *c, const char *sql);

#endif
