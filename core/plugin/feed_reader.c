/* One who follows: its place in its loop's ring, or in the table. */
#include "plugin/feed_impl.h"

#include <stdlib.h>

bool mti_feed_key_parse(mt_slice text, mti_feed_key *out)
{
    uint64_t parts[2] = {0};
    unsigned part = 0, digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.p[i];
        if (ch == '-' && part == 0 && digits) {
            part = 1;
            digits = 0;
        } else if (ch >= '0' && ch <= '9' && digits < 18) {
            parts[part] = parts[part] * 10 + (uint64_t)(ch - '0');
            digits++;
        } else {
            return false;
        }
    }
    *out = (mti_feed_key){parts[0], parts[1]};
    return part == 1 && digits;
}

static mti_feed_loop *own_loop(const mti_feed_reader *r, const mt_call *c)
{
    return mti_loop_get(c->loop, r->feed->slot);
}

static bool wants(const mti_feed_reader *r, const mti_event *e)
{
    if (e->plugin)
        return r->plugins && !r->resource;
    return mti_uuid_eq(e->org_id, r->org_id) && (mti_uuid_is_nil(r->workspace_id) || mti_uuid_eq(e->workspace_id, r->workspace_id)) &&
           (!r->resource || !strcmp(e->resource, r->resource));
}

static void link_reader(mti_feed_reader *r, mti_feed_loop *k)
{
    r->next = k->readers;
    r->at = &k->readers;
    if (r->next)
        r->next->at = &r->next;
    k->readers = r;
    if (!atomic_fetch_add(&r->feed->readers, 1))
        mti_feed_wake_feeder(r->feed);
}

mt_status mti_feed_open(mti_feed_reader *r, mt_call *c, const mti_feed_key *after)
{
    mti_feed *f = c->host->feed;
    mti_feed_loop *k;
    bool held;
    r->feed = f;
    if (!f || !(k = own_loop(r, c)))
        return mti_fail(&c->error, MT_UNAVAILABLE, "not_ready", "The host is starting: try again shortly.");
    if (!r->once)
        link_reader(r, k);
    if (after)
        r->key = *after;
    else
        MT_TRY(mti_feed_floor(f, c, &r->key.tx, &held));
    return MT_OK;
}

void mti_feed_close(mti_feed_reader *r)
{
    while (r->past_at < r->n_past)
        mti_event_release(r->past[r->past_at++]);
    if (!r->at)
        return;
    *r->at = r->next;
    if (r->next)
        r->next->at = r->at;
    r->at = NULL;
    if (atomic_fetch_sub(&r->feed->readers, 1) == 1)
        mti_feed_wake_feeder(r->feed);
}

/* Finds the place in the ring that follows the key; false when the ring does not reach back to it. */
static bool enter_ring(mti_feed_reader *r, const mti_feed_loop *k)
{
    if (r->once || !k->ready || mti_feed_before(r->key, k->floor))
        return false;
    for (r->seq = k->first; r->seq < k->end && !mti_feed_before(r->key, k->ring[r->seq % MTI_FEED_RING].key); r->seq++)
        ;
    r->generation = k->generation;
    return true;
}

static bool in_ring(const mti_feed_reader *r, const mti_feed_loop *k)
{
    return k->ready && r->generation == k->generation && r->seq >= k->first;
}

static mti_event *take_from_ring(mti_feed_reader *r, const mti_feed_loop *k)
{
    while (r->seq < k->end) {
        const mti_feed_place *p = &k->ring[r->seq++ % MTI_FEED_RING];
        if (mti_feed_before(r->key, p->key))
            r->key = p->key;
        if (!wants(r, p->event))
            continue;
        atomic_fetch_add(&p->event->refs, 1);
        return p->event;
    }
    return NULL;
}

static mti_event *take_from_past(mti_feed_reader *r)
{
    while (r->past_at < r->n_past) {
        mti_event *e = r->past[r->past_at++];
        if (wants(r, e))
            return e;
        mti_event_release(e);
    }
    return NULL;
}

/* The next rows of the table after the key. */
static mt_status read_past(mti_feed_reader *r, mt_call *c)
{
    uint64_t floor;
    MT_TRY(mti_feed_floor(r->feed, c, &floor, &r->held));
    r->past_at = r->n_past = 0;
    MT_TRY(mti_feed_rows(r->feed, c, r->key, floor, &r->org_id, r->past, &r->n_past));
    if (r->n_past == MTI_FEED_BATCH)
        r->key = r->past[r->n_past - 1]->key;
    else if (mti_feed_before(r->key, (mti_feed_key){floor, 0}))
        r->key = (mti_feed_key){floor, 0};
    return MT_OK;
}

static mt_status wait_for_more(mti_feed_reader *r, int64_t until_us)
{
    enum { HELD_MS = 20 };
    int64_t left_ms = (until_us - mti_mono_us()) / 1000;
    if (left_ms <= 0 || (r->once && !r->held))
        return MT_TIMEOUT;
    mt_status s = mti_wait(&r->wait, r->once && left_ms > HELD_MS ? HELD_MS : left_ms);
    return r->once && s == MT_TIMEOUT ? MT_OK : s;
}

mt_status mti_feed_next(mti_feed_reader *r, mt_call *c, int64_t timeout_ms, mti_event **out)
{
    int64_t until_us = mti_mono_us() + timeout_ms * 1000;
    bool looked = false;         /* to the end of the table, since it last waited */
    for (;;) {
        const mti_feed_loop *k = own_loop(r, c);
        if ((*out = take_from_past(r)))
            return MT_OK;
        if (atomic_load(&r->feed->stopping))
            return MT_DONE;
        bool inside = in_ring(r, k) || enter_ring(r, k);
        if (inside && (*out = take_from_ring(r, k)))
            return MT_OK;
        if (!inside && !looked) {
            MT_TRY(read_past(r, c));
            looked = r->n_past < MTI_FEED_BATCH;
            continue;
        }
        MT_TRY(wait_for_more(r, until_us));
        looked = false;
    }
}
