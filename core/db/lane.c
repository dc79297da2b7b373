/*
 * Who gets which connection. Reads take the shared one with the shortest queue; writes and slow
 * reads take a connection for themselves, as many at once as one organization may hold. Waiting is
 * first come first served among those who may have one, and ends after two seconds; while no
 * connection of the loop is up, two seconds after the last one was lost.
 */
#include <stdio.h>
#include "db/internal.h"

static bool usable(const mti_conn *c)
{
    if (c->state != CONN_READY)
        return false;
    if (c->lane->kind == LANE_READ)
        return c->queued < MTI_PIPELINE_MAX;
    return !c->taken && !c->draining && !c->head;
}

static bool may_hold_more(const mti_pool *lane, mti_uuid org)
{
    unsigned held = 0;
    if (lane->kind == LANE_READ || mti_uuid_is_nil(org))
        return true;
    for (unsigned i = 0; i < lane->n; i++)
        held += lane->conns[i]->taken && mti_uuid_eq(lane->conns[i]->holder, org);
    return held < lane->org_max;
}

static mti_conn *pick(mti_pool *lane, mti_uuid org)
{
    mti_conn *best = NULL;
    if (!may_hold_more(lane, org))
        return NULL;
    for (unsigned i = 0; i < lane->n; i++) {
        mti_conn *c = lane->conns[i];
        if (usable(c) && (!best || c->queued < best->queued))
            best = c;
    }
    if (best && lane->kind != LANE_READ) {
        best->taken = true;
        best->holder = org;
    }
    return best;
}

static void waiter_unlink(mti_pool *lane, mti_lane_waiter *w)
{
    *(w->prev ? &w->prev->next : &lane->first) = w->next;
    *(w->next ? &w->next->prev : &lane->last) = w->prev;
    lane->waiting--;
}

static void waiter_link(mti_pool *lane, mti_lane_waiter *w)
{
    w->prev = lane->last;
    *(w->prev ? &w->prev->next : &lane->first) = w;
    lane->last = w;
    lane->waiting++;
}

static bool any_usable(const mti_pool *lane)
{
    for (unsigned i = 0; i < lane->n; i++)
        if (usable(lane->conns[i]))
            return true;
    return false;
}

static void grant(mti_pool *lane)
{
    unsigned granted = 0;
    for (mti_lane_waiter *w = lane->first, *next; w && any_usable(lane); w = next) {
        next = w->next;
        if (lane->kind == LANE_READ && granted++ == MTI_PIPELINE_MAX / 4)
            return; /* these have not sent yet: what they send will call again */
        w->conn = pick(lane, w->org);
        if (!w->conn)
            continue;
        waiter_unlink(lane, w);
        mti_wake_one(&w->wait);
    }
}

static void retry_all(mti_lanes *lanes)
{
    for (unsigned i = 0; i < MTI_DB_LANES; i++)
        for (unsigned j = 0; j < lanes->lane[i].n; j++)
            mti_conn_retry(lanes->lane[i].conns[j]);
}

void mti_lane_ready(mti_conn *c)
{
    mti_lanes *lanes = c->lane->lanes;
    if (!c->counted) {
        c->counted = true;
        lanes->down_since_us = 0;
        if (lanes->ready++ == 0)
            retry_all(lanes);
        mti_db_count(lanes->db, 1);
    }
    if (c->lane->first)
        grant(c->lane);
}

void mti_lane_down(mti_conn *c)
{
    mti_lanes *lanes = c->lane->lanes;
    if (!c->counted)
        return;
    c->counted = false;
    if (--lanes->ready == 0)
        lanes->down_since_us = mti_mono_us();
    mti_db_count(lanes->db, -1);
}

/* Until when it makes sense to wait, in ms from now; 0: not at all. */
static int64_t patience(const mti_pool *lane, const mt_call *c)
{
    int64_t ms = MTI_WAIT_MS, left = mti_call_left_ms(c);
    if (lane->lanes->down_since_us)
        ms -= (mti_mono_us() - lane->lanes->down_since_us) / 1000;
    return ms < left ? (ms > 0 ? ms : 0) : left;
}

/* One more connection for each who waits, up to the lane's size. */
static void grow(mti_pool *lane)
{
    unsigned coming = 0;
    for (unsigned i = 0; i < lane->n; i++)
        coming += lane->conns[i]->state != CONN_READY;
    if (lane->n < lane->max && coming <= lane->waiting)
        lane->conns[lane->n++] = mti_conn_create(lane->lanes->db, lane, lane->lanes->loop);
}

static mt_status wait_for_grant(mti_pool *lane, mt_call *c, int64_t ms, mti_conn **out)
{
    mti_lane_waiter w = {.org = c->who.org_id};
    waiter_link(lane, &w);
    mt_status status = mti_wait(&w.wait, ms);
    if (!w.conn)
        waiter_unlink(lane, &w);
    else if (status == MT_CANCELLED)
        mti_lane_give(w.conn);
    else
        status = MT_OK; /* granted just when the time was over: good enough */
    *out = w.conn;
    return status;
}

mt_status mti_lane_take(mti_pool *lane, mt_call *c, mti_conn **out)
{
    for (;;) {
        /* One that is free although others wait is one they may not have. */
        *out = pick(lane, c->who.org_id);
        if (*out)
            return MT_OK;
        grow(lane);
        int64_t ms = patience(lane, c);
        mt_status status = ms ? wait_for_grant(lane, c, ms, out) : MT_TIMEOUT;
        if (status == MT_CANCELLED)
            return mti_db_fail(c, MT_CANCELLED, "cancelled", "The request was cancelled.");
        if (status == MT_TIMEOUT && lane->lanes->down_since_us)
            return mti_db_fail(c, MT_UNAVAILABLE, "database_unavailable",
                               "The database cannot be reached; try again shortly.");
        if (status == MT_TIMEOUT)
            return mti_db_fail(c, MT_UNAVAILABLE, "database_busy",
                               "The database is busy; try again shortly.");
        if ((*out)->state == CONN_READY)
            return MT_OK;
        mti_lane_give(*out); /* lost between the grant and now */
    }
}

void mti_lane_give(mti_conn *c)
{
    if (c->lane->kind == LANE_READ)
        return;
    c->taken = false;
    if (c->lane->first)
        grant(c->lane);
}

static void on_drained(void *arg)
{
    mti_conn *c = arg;
    if (--c->draining == 0)
        mti_lane_give(c);
}

/* pg_cancel_backend over a shared connection rather than PQcancel, which would block this thread
 * for a connect. */
void mti_lane_cancel(mti_conn *c)
{
    mti_op *running = c->head;
    mti_conn *messenger = pick(&c->lane->lanes->lane[LANE_READ], c->holder);
    if (!running) {
        mti_lane_give(c);
        return;
    }
    c->draining = 1;
    running->then = on_drained;
    running->then_arg = c;
    if (!messenger)
        return; /* its statement_timeout will end it */
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT pg_cancel_backend(%d)", PQbackendPID(c->pg));
    mti_op *o = mti_op_create();
    o->abandoned = true;
    o->then = on_drained;
    o->then_arg = c;
    o->budget_ms = MTI_READ_BUDGET_MS;
    c->draining = 2;
    if (mti_op_add_sql(messenger, o, sql, false) && mti_op_send(messenger, o))
        return;
    c->draining = 1;
    mti_op_free(o);
    mti_conn_lost(messenger, "write");
}
