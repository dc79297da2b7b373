/* The process-wide handle and what each loop has of it: three lanes, a tick that notices
 * connections gone silent, the state. */
#include "db/internal.h"

#include <stdlib.h>

#include "base/log.h"

enum { SILENCE_MS = 5000, TICK_MS = 1000, STATES_MAX = 16 };

static pthread_once_t slot_once = PTHREAD_ONCE_INIT;
static unsigned slot;

static void slot_take(void)
{
    slot = mti_loop_slot();
}

mti_db *mti_db_create(const mti_db_options *o)
{
    pthread_once(&slot_once, slot_take);
    mti_db *db = calloc(1, sizeof *db);
    if (!db || !(db->url = strdup(o->url)))
        abort();
    db->options = *o;
    mti_db_options *set = &db->options;
    set->url = db->url;
    set->read_connections = o->read_connections ? o->read_connections : 2;
    set->write_connections = o->write_connections ? o->write_connections : 8;
    set->slow_connections = o->slow_connections ? o->slow_connections : 2;
    set->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 5000;
    set->statement_timeout_ms = o->statement_timeout_ms ? o->statement_timeout_ms : 30000;
    pthread_mutex_init(&db->mutex, NULL);
    return db;
}

void mti_db_destroy(mti_db *db)
{
    if (!db)
        return;
    mti_listener_destroy(db);
    pthread_mutex_destroy(&db->mutex);
    free(db->url);
    free(db);
}

static void check_silence(mti_conn *c, int64_t now_us)
{
    const mti_op *o = c->head;
    if (o && o->budget_ms && now_us - c->head_since_us > (o->budget_ms + SILENCE_MS) * 1000)
        mti_conn_lost(c, "silent");
}

static void on_tick(void *arg)
{
    mti_lanes *lanes = arg;
    int64_t now = mti_mono_us();
    for (unsigned i = 0; i < MTI_DB_LANES; i++)
        for (unsigned j = 0; j < lanes->lane[i].n; j++)
            check_silence(lanes->lane[i].conns[j], now);
    lanes->tick = mti_timer_start(lanes->loop, TICK_MS, on_tick, lanes);
}

/* Opens `first` connections now; the others come when they are asked for. */
static void lane_init(mti_lanes *lanes, enum mti_lane_kind kind, unsigned max, unsigned org_max,
                      unsigned first)
{
    mti_pool *lane = &lanes->lane[kind];
    lane->lanes = lanes;
    lane->kind = kind;
    lane->max = max < MTI_CONN_MAX ? max : MTI_CONN_MAX;
    lane->org_max = org_max ? org_max : 1;
    while (lane->n < first && lane->n < lane->max)
        lane->conns[lane->n++] = mti_conn_create(lanes->db, lane, lanes->loop);
}

void mti_db_attach(mti_db *db, mti_loop *l)
{
    mti_lanes *lanes = calloc(1, sizeof *lanes);
    const mti_db_options *o = &db->options;
    if (!lanes)
        abort();
    lanes->db = db;
    lanes->loop = l;
    lanes->down_since_us = mti_mono_us();
    lane_init(lanes, LANE_READ, o->read_connections, 0, o->read_connections);
    lane_init(lanes, LANE_WRITE, o->write_connections,
              o->write_connections - o->write_connections / 4, 2);
    lane_init(lanes, LANE_SLOW, o->slow_connections, o->slow_connections / 2, 1);
    lanes->tick = mti_timer_start(l, TICK_MS, on_tick, lanes);
    mti_loop_set(l, slot, lanes);
    mti_listener_attach(db, l);
}

void mti_db_detach(mti_db *db, mti_loop *l)
{
    mti_lanes *lanes = mti_loop_get(l, slot);
    if (!lanes)
        return;
    atomic_store(&db->stopping, true);
    mti_listener_detach(db, l);
    mti_timer_cancel(lanes->tick);
    for (unsigned i = 0; i < MTI_DB_LANES; i++)
        for (unsigned j = 0; j < lanes->lane[i].n; j++)
            mti_conn_destroy(lanes->lane[i].conns[j]);
    mti_loop_set(l, slot, NULL);
    free(lanes);
}

mti_lanes *mti_db_lanes(const mt_call *c)
{
    return mti_loop_get(c->loop, slot);
}

bool mti_db_up(const mti_db *db)
{
    return atomic_load(&((mti_db *)db)->ready) > 0;
}

void mti_db_on_state(mti_db *db, void (*fn)(void *arg, bool up), void *arg)
{
    pthread_mutex_lock(&db->mutex);
    if (db->n_states == STATES_MAX)
        abort();
    db->states[db->n_states].fn = fn;
    db->states[db->n_states++].arg = arg;
    pthread_mutex_unlock(&db->mutex);
}

void mti_db_count(mti_db *db, int change)
{
    int before = atomic_fetch_add(&db->ready, change);
    bool up = before + change > 0;
    if ((before > 0) == up || (!up && atomic_load(&db->stopping)))
        return;
    mti_log(up ? MTI_LOG_INFO : MTI_LOG_ERROR, up ? "db.up" : "db.down", "ready=%d",
            before + change);
    for (unsigned i = 0; i < db->n_states; i++)
        db->states[i].fn(db->states[i].arg, up);
}

void mti_db_get_stats(const mti_db *db, mti_db_stats *out)
{
    mti_db *d = (mti_db *)db;
    out->connections = (unsigned)atomic_load(&d->ready);
    out->reads_moved = atomic_load(&d->moved);
    out->connects = atomic_load(&d->reconnects);
    out->losses = atomic_load(&d->lost);
}
