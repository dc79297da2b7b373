/*
 * One connection's life: connect without blocking, set the session up, enter pipeline mode, serve,
 * be lost, come back after a back-off of 50 ms … 2 s. Only here a PGconn is made and finished.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "db/internal.h"

enum { BACK_OFF_MIN_MS = 50, BACK_OFF_MAX_MS = 2000, SCOUT_MAX_MS = 250 };

static void connect_start(mti_conn *c);

static void on_connect_socket(void *arg, unsigned ready);
static void on_socket(void *arg, unsigned ready);

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static void timer_clear(mti_conn *c)
{
    if (c->timer)
        mti_timer_cancel(c->timer);
    c->timer = NULL;
}

static void timer_set(mti_conn *c, int64_t ms, void (*fn)(void *))
{
    timer_clear(c);
    c->timer = mti_timer_start(c->loop, ms, fn, c);
}

static void watch_clear(mti_conn *c)
{
    if (c->watch)
        mti_watch_stop(c->watch);
    c->watch = NULL;
}

static void on_back_off_over(void *arg)
{
    mti_conn *c = arg;
    c->timer = NULL;
    connect_start(c);
}

static void forget_session(mti_conn *c)
{
    mti_map_destroy(c->prepared);
    c->prepared = mti_map_create();
    c->contexts = 0;
    c->epoch++;
}

/* The loop's first read connection and the listener ask more often; the others follow when one succeeded. */
static bool is_scout(const mti_conn *c)
{
    return !c->lane || (c->lane->kind == LANE_READ && c == c->lane->conns[0]);
}

void mti_conn_retry(mti_conn *c)
{
    if (c->state == CONN_DOWN)
        timer_set(c, 0, on_back_off_over);
}

void mti_conn_lost(mti_conn *c, const char *why)
{
    bool was_ready = c->state == CONN_READY;
    if (was_ready || !c->warned)
        mti_log(was_ready ? MTI_LOG_WARN : MTI_LOG_INFO, was_ready ? "db.lost" : "db.unreachable",
                "loop=%u lane=%d reason=%s", mti_loop_index(c->loop),
                c->lane ? (int)c->lane->kind : -1, why);
    c->warned = true;
    watch_clear(c);
    timer_clear(c);
    if (c->pg)
        PQfinish(c->pg);
    c->pg = NULL;
    c->state = CONN_DOWN;
    forget_session(c);
    if (was_ready) {
        atomic_fetch_add(&c->db->lost, 1);
        if (c->lane)
            mti_lane_down(c);
    }
    mti_op_drop_all(c);
    timer_set(c, c->back_off_ms + mti_mono_us() % 16, on_back_off_over);
    int max = is_scout(c) ? SCOUT_MAX_MS : BACK_OFF_MAX_MS;
    c->back_off_ms = c->back_off_ms * 2 < max ? c->back_off_ms * 2 : max;
}

static void on_connect_timeout(void *arg)
{
    mti_conn *c = arg;
    c->timer = NULL;
    mti_conn_lost(c, "timeout");
}

static void watch_on(mti_conn *c, unsigned events, void (*fn)(void *, unsigned))
{
    watch_clear(c);
    c->watch = mti_watch_start(c->loop, PQsocket(c->pg), events, fn, c);
}

/* The server process of a slow connection steps back behind the short reads, where it runs on this machine and we may say so. */
static void step_back(const mti_conn *c)
{
    const char *host = PQhost(c->pg);
    if (c->lane && c->lane->kind == LANE_SLOW && host && host[0] == '/')
        setpriority(PRIO_PROCESS, (id_t)PQbackendPID(c->pg), 10);
}

static void set_up_done(mti_conn *c)
{
    timer_clear(c);
    step_back(c);
    if (c->lane && !PQenterPipelineMode(c->pg)) {
        mti_conn_lost(c, "pipeline");
        return;
    }
    c->state = CONN_READY;
    c->back_off_ms = BACK_OFF_MIN_MS;
    c->warned = false;
    atomic_fetch_add(&c->db->reconnects, 1);
    if (c->lane)
        mti_lane_ready(c);
    else
        mti_listener_ready(c);
}

/* The forms of values that json_rows.c reads, and the limits that hold where the context call sets
 * none. */
static void set_up_start(mti_conn *c)
{
    static const char fixed[] =
        "SET client_encoding='UTF8';SET datestyle='ISO, YMD';SET timezone='UTC';SET "
        "intervalstyle='iso_8601';"
        "SET bytea_output='hex';SET extra_float_digits=1;SET standard_conforming_strings=on;SET "
        "search_path=pg_catalog,pg_temp;"
        "SET jit=off;SET lock_timeout=2000;SET idle_in_transaction_session_timeout=60000;";
    char sql[640];
    bool read = c->lane && c->lane->kind == LANE_READ;
    bool write = c->lane && c->lane->kind == LANE_WRITE;
    int timeout = read ? MTI_READ_BUDGET_MS : c->db->options.statement_timeout_ms;
    snprintf(sql, sizeof sql, "%sSET statement_timeout=%d;SET default_transaction_read_only=%s",
             fixed, timeout, write ? "off" : "on");
    c->state = CONN_SETTING_UP;
    PQsetnonblocking(c->pg, 1);
    watch_on(c, MTI_READ, on_socket);
    if (!PQsendQuery(c->pg, sql)) {
        mti_conn_lost(c, "setup");
        return;
    }
    mti_conn_flush(c);
}

static void set_up_read(mti_conn *c)
{
    while (!PQisBusy(c->pg)) {
        PGresult *r = PQgetResult(c->pg);
        if (!r) {
            set_up_done(c);
            return;
        }
        bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
        if (!ok) {
            mti_conn_lost(c, "setup");
            return;
        }
    }
}

static void connect_step(mti_conn *c)
{
    watch_clear(c); /* libpq may have gone on to another socket */
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        watch_on(c, MTI_READ, on_connect_socket);
        break;
    case PGRES_POLLING_WRITING:
        watch_on(c, MTI_WRITE, on_connect_socket);
        break;
    case PGRES_POLLING_OK:
        set_up_start(c);
        break;
    default:
        mti_conn_lost(c, "refused");
    }
}

static void on_connect_socket(void *arg, unsigned ready)
{
    (void)ready;
    connect_step(arg);
}

static void connect_start(mti_conn *c)
{
    const char *const keys[] = {"gssencmode",       "keepalives_idle",  "keepalives_interval",
                                "keepalives_count", "tcp_user_timeout", "fallback_application_name",
                                "dbname",           "client_encoding",  NULL};
    const char *const values[] = {"disable", "30",       "10",   "3", "30000",
                                  "mortise", c->db->url, "UTF8", NULL};
    c->pg = PQconnectStartParams(keys, values, 1);
    if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD) {
        mti_conn_lost(c, "refused");
        return;
    }
    PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
    c->state = CONN_CONNECTING;
    timer_set(c, c->db->options.connect_timeout_ms, on_connect_timeout);
    watch_on(c, MTI_WRITE, on_connect_socket);
}

void mti_conn_flush(mti_conn *c)
{
    int left = PQflush(c->pg);
    if (left < 0)
        mti_conn_lost(c, "write");
    else if (c->watch)
        mti_watch_set(c->watch, left ? MTI_READ | MTI_WRITE : MTI_READ);
}

static void on_socket(void *arg, unsigned ready)
{
    mti_conn *c = arg;
    unsigned epoch = c->epoch;
    if (ready & MTI_READ && !PQconsumeInput(c->pg)) {
        /* What came before the end may hold answers: they count. */
        if (c->state == CONN_READY && c->lane)
            mti_op_read(c);
        if (epoch == c->epoch)
            mti_conn_lost(c, "closed");
        return;
    }
    if (c->state == CONN_SETTING_UP)
        set_up_read(c);
    else if (c->lane)
        mti_op_read(c);
    else
        mti_listener_read(c);
    if (epoch == c->epoch)
        mti_conn_flush(c);
}

mti_conn *mti_conn_create(mti_db *db, mti_pool *lane, mti_loop *l)
{
    mti_conn *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->db = db;
    c->lane = lane;
    c->loop = l;
    c->tail = &c->head;
    c->back_off_ms = BACK_OFF_MIN_MS;
    c->prepared = mti_map_create();
    timer_set(c, 0, on_back_off_over);
    return c;
}

void mti_conn_destroy(mti_conn *c)
{
    watch_clear(c);
    timer_clear(c);
    if (c->state == CONN_READY && c->lane)
        mti_lane_down(c);
    c->state = CONN_DOWN;
    if (c->pg)
        PQfinish(c->pg);
    c->pg = NULL;
    c->epoch++;
    mti_op_drop_all(c);
    mti_map_destroy(c->prepared);
    free(c);
}
