/* Shared by the files of db/ only. Everything but mti_db itself belongs to one loop and is touched
 * on its thread. */
#ifndef MTI_DB_INTERNAL_H
#define MTI_DB_INTERNAL_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "db/db.h"

enum {
    MTI_DB_LANES = 3,
    MTI_CONN_MAX = 64,
    MTI_PIPELINE_MAX = 256,
    MTI_READ_BUDGET_MS = 250,
    MTI_WAIT_MS = 2000
};

typedef struct mti_conn mti_conn;
typedef struct mti_pool mti_pool;
typedef struct mti_lanes mti_lanes;

/*
 * One exchange with the server: some statements and a Sync (or one simple query). Heap-allocated by
 * the fiber that waits for it; the connection owns it from mti_op_send until it is done, the fiber
 * again from then on, unless it abandoned it.
 */
typedef struct mti_op {
    struct mti_op *next;
    mti_waitlist wait;
    bool done, abandoned, lost, simple, sent;
    int steps, current; /* how many results are due, and which is being read */
    int answer, parse;  /* the steps whose result is the answer, whose success prepares the
                           statement; -1: none */
    PGresult *result, *error;
    char statement[36];
    uintptr_t generation;    /* of the prepared statement used */
    int64_t budget_ms;       /* the server's own time-out; 0: none */
    void (*then)(void *arg); /* called when an abandoned one is done */
    void *then_arg;
} mti_op;

enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_SETTING_UP, CONN_READY };

struct mti_conn {
    mti_db *db;
    mti_pool *lane; /* NULL: the listener's */
    mti_loop *loop;
    PGconn *pg;
    mti_watch *watch;
    mti_timer *timer; /* of the back-off or of the connect time-out */
    enum conn_state state;
    unsigned epoch; /* advances with each loss */
    int back_off_ms;
    mti_op *head, **tail;
    unsigned queued;
    int64_t head_since_us;
    bool taken, counted; /* counted: among the ready ones */
    unsigned draining;   /* what must end before a cancelled connection is used again */
    mti_uuid holder;     /* organization that took it */
    mti_map *prepared;   /* statement → generation << 1 | stale */
    unsigned contexts;   /* bit n: context variant n is prepared */
    bool warned;
};

typedef struct mti_lane_waiter {
    struct mti_lane_waiter *next, *prev;
    mti_waitlist wait;
    mti_uuid org;
    mti_conn *conn; /* granted */
} mti_lane_waiter;

struct mti_pool {
    mti_lanes *lanes;
    mti_lane_waiter *first, *last;
    unsigned n, max, org_max, waiting;
    enum mti_lane_kind {
        LANE_READ = MTI_LANE_READ,
        LANE_WRITE = MTI_LANE_WRITE,
        LANE_SLOW = MTI_LANE_SLOW
    } kind;
    mti_conn *conns[MTI_CONN_MAX];
};

struct mti_lanes {
    mti_db *db;
    mti_loop *loop;
    mti_pool lane[MTI_DB_LANES];
    mti_timer *tick;
    int64_t down_since_us; /* 0: some connection is ready */
    unsigned ready;
};

typedef struct mti_listener mti_listener;

struct mti_db {
    mti_db_options options;
    char *url;
    pthread_mutex_t mutex; /* guards the three below */
    struct {
        void (*fn)(void *, bool);
        void *arg;
    } states[16];
    unsigned n_states;
    mti_listener *listener;
    atomic_bool stopping; /* a loop was detached: going down is no news */
    atomic_int ready;     /* connections that can answer, all loops */
    atomic_ullong moved, reconnects, lost;
};

/* What a call knows of the database; lives in its arena. */
struct mti_db_session {
    char sqlstate[6];
    char constraint[64];
    char message[256];
    int position;   /* byte of the statement, 1-based; 0: unknown */
    mti_conn *conn; /* of the open transaction; NULL until its first query */
    unsigned epoch, depth;
    bool begun, failed; /* BEGIN was sent; a statement failed */
    mt_status failure;
    const char *role; /* that the transaction runs under now */
    mti_db_role first_role;
};

/* conn.c */
mti_conn *mti_conn_create(mti_db *db, mti_pool *lane, mti_loop *l);
void mti_conn_destroy(mti_conn *c);
void mti_conn_lost(mti_conn *c, const char *why);
void mti_conn_retry(mti_conn *c); /* now, should it be waiting to connect again */
void mti_conn_flush(
    mti_conn *c); /* sends what libpq holds; watches for writability when it cannot */

/* op.c: building (each false: the connection is gone), sending, reading */
mti_op *mti_op_create(void);
void mti_op_free(mti_op *o);
typedef struct mti_context {
    char org[37], scope[37], actor[37 + 37 + 128], timeout[24];
    const char *role;
    bool custom, timed;
    int64_t budget_ms;
} mti_context;
void mti_context_build(mti_context *x, const mt_call *c, const mti_db_role *role,
                       const mti_query *q, int64_t default_ms);
bool mti_op_add_sql(mti_conn *c, mti_op *o, const char *sql, bool answer);
bool mti_op_add_context(mti_conn *c, mti_op *o, const mti_context *x);
typedef struct mti_values {
    const char *values[64];
    int lengths[64], formats[64];
    char *texts; /* malloc'ed: the copies that end with a NUL */
} mti_values;
bool mti_op_add_query(mti_conn *c, mti_op *o, const mti_query *q, const mti_values *v,
                      bool unnamed);
bool mti_op_add_describe(mti_conn *c, mti_op *o, const mti_query *q);
bool mti_op_send(mti_conn *c, mti_op *o); /* Sync, and into the queue */
bool mti_op_send_simple(mti_conn *c, mti_op *o, const char *sql);
void mti_op_read(mti_conn *c);     /* takes what arrived; may lose the connection */
void mti_op_drop_all(mti_conn *c); /* the connection is gone */

/* db.c */
void mti_db_count(mti_db *db,
                  int change); /* of ready connections; tells who asked for state changes */

/* lane.c */
mt_status mti_lane_take(mti_pool *lane, mt_call *c, mti_conn **out);
void mti_lane_give(mti_conn *c);
void mti_lane_ready(mti_conn *c); /* a connection came up, or can take more */
void mti_lane_down(mti_conn *c);
void mti_lane_cancel(
    mti_conn *c); /* ends what a slow connection runs; it is given when all of it has ended */

/* fail.c */
struct mti_db_session *mti_session(mt_call *c);
mt_status mti_db_fail_result(mt_call *c, const PGresult *error, const mti_query *q);
mt_status mti_db_fail(mt_call *c, mt_status status, const char *code, const char *detail);
const char *mti_op_sqlstate(const mti_op *o);

/* run.c */
mti_lanes *mti_db_lanes(const mt_call *c);
mt_status mti_op_wait(mt_call *c, mti_op *o,
                      bool shielded); /* MT_OK: done, the caller frees it; else it was abandoned */

/* result.c */
mt_status mti_result_take(mt_call *c, mti_op *o, mti_result **out);
const PGresult *mti_result_pg(const mti_result *r);

/* tx.c */
mt_status mti_tx_run(mt_call *c, const mti_db_role *role, const mti_query *q, const mti_values *v,
                     mti_result **out);

void mti_tx_on_arena_reset(void *call); /* rolls back what is open, forgets the session */

/* listen.c */
void mti_listener_destroy(mti_db *db);
void mti_listener_attach(mti_db *db, mti_loop *l);
void mti_listener_detach(mti_db *db, mti_loop *l);
void mti_listener_ready(mti_conn *c);
void mti_listener_read(mti_conn *c);

#endif
