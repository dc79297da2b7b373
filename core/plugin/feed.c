/* The feeder: from the table to the loops' rings. */
#include "plugin/feed_impl.h"
#include "plugin/across.h"

#include "base/log.h"
#include "json/writer.h"

#include <stdlib.h>

/* AGAIN_MS: between two looks, so that many commits are read at once. HELD_MS: rows wait for a transaction that began before theirs. NET_MS: a
 * change of a transaction that began before anybody watched is not notified. */
enum { WATCH_S = 60, AGAIN_MS = 20, HELD_MS = 50, NET_MS = 2000, DOWN_MS = 500, MAX_TOLD = 8 };

/* --- to the loops --- */

static mti_feed_loop *loop_of(mti_feed *f, mti_loop *l)
{
    return mti_loop_get(l, f->slot);
}

/* A batch for one loop; the events are referred to by each. */
typedef struct batch {
    mti_feed *feed;
    enum { BEGIN, EVENTS, END } what;
    mti_feed_key floor;
    unsigned n;
    mti_event *events[];
} batch;

static void ring_drop_first(mti_feed_loop *k)
{
    mti_feed_place *p = &k->ring[k->first++ % MTI_FEED_RING];
    k->floor = p->key;
    mti_event_release(p->event);
    p->event = NULL;
}

static void ring_clear(mti_feed_loop *k)
{
    while (k->first < k->end)
        ring_drop_first(k);
}

static void ring_put(mti_feed_loop *k, mti_event *e)
{
    if (k->end - k->first == MTI_FEED_RING)
        ring_drop_first(k);
    mti_feed_key before = k->end > k->first ? k->ring[(k->end - 1) % MTI_FEED_RING].key : k->floor;
    k->ring[k->end++ % MTI_FEED_RING] = (mti_feed_place){e, e->plugin ? before : e->key};
}

/* Few organizations are in a batch, so most readers are let sleep by a few comparisons. */
static unsigned distinct(const batch *b, const mti_event **out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < b->n; i++) {
        unsigned k = 0;
        while (k < n && !(out[k]->plugin == b->events[i]->plugin && mti_uuid_eq(out[k]->org_id, b->events[i]->org_id)))
            k++;
        if (k == MAX_TOLD)
            return 0;
        if (k == n)
            out[n++] = b->events[i];
    }
    return n;
}

static void wake_readers(mti_feed_loop *k, const batch *b)
{
    const mti_event *told[MAX_TOLD];
    unsigned n = b->what == EVENTS ? distinct(b, told) : 0;
    for (mti_feed_reader *r = k->readers; r; r = r->next) {
        bool woken = n == 0;
        for (unsigned i = 0; i < n && !woken; i++)
            woken = told[i]->plugin ? r->plugins : mti_uuid_eq(told[i]->org_id, r->org_id);
        if (woken)
            mti_wake_all(&r->wait);
    }
}

static void on_batch(void *arg)
{
    batch *b = arg;
    mti_feed_loop *k = loop_of(b->feed, mti_loop_current());
    if (b->what != EVENTS && k) {
        ring_clear(k);
        k->generation++;
        k->ready = b->what == BEGIN;
        k->floor = b->floor;
    }
    for (unsigned i = 0; i < b->n; i++)
        if (k && k->ready)
            ring_put(k, b->events[i]);
        else
            mti_event_release(b->events[i]);
    if (k)
        wake_readers(k, b);
    free(b);
}

/* Takes the events. */
static void spread(mti_feed *f, int what, mti_feed_key floor, mti_event **events, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        atomic_fetch_add(&events[i]->refs, f->host->n_loops);
    for (unsigned i = 0; i < f->host->n_loops; i++) {
        batch *b = malloc(sizeof *b + n * sizeof *events);
        if (!b)
            abort();
        *b = (batch){.feed = f, .what = what, .floor = floor, .n = n};
        if (n)
            memcpy(b->events, events, n * sizeof *events);
        mti_loop_post(f->host->loops[i], on_batch, b);
    }
    for (unsigned i = 0; i < n; i++)
        mti_event_release(events[i]);
}

void mti_feed_tell_plugin(mti_host *h, const char *slug, const char *version, const char *state, const char *reason)
{
    mti_feed *f = h->feed;
    mti_buf json;
    mti_writer w;
    char at[28];
    if (!f || !atomic_load(&f->readers))
        return;
    mti_time_rfc3339(mti_now_us(), at);
    mti_buf_init(&json, 1 << 16);
    mti_writer_init(&w, &json);
    mti_writer_object(&w);
    mti_writer_key_string(&w, "slug", mt_str(slug));
    mti_writer_key_string(&w, "version", version ? mt_str(version) : (mt_slice){0});
    mti_writer_key_string(&w, "state", mt_str(state));
    mti_writer_key_string(&w, "reason", reason && *reason ? mt_str(reason) : (mt_slice){0});
    mti_writer_key_string(&w, "at", mt_str(at));
    mti_writer_object_end(&w);
    mti_event *e = mti_event_create(&json);
    e->plugin = true;
    mti_buf_dispose(&json);
    spread(f, EVENTS, (mti_feed_key){0}, &e, 1);
}

/* --- the fiber of loop 0 --- */

typedef struct feeding {
    mti_feed *f;
    bool begun;
    mti_feed_key at;
    int64_t watched_us;
} feeding;

/* Whether this host's watch will outlast the next turns. */
static mt_status keep_watch(feeding *x, mt_call *c)
{
    char host[37], seconds[12];
    mti_result *r;
    if (x->watched_us && mti_mono_us() - x->watched_us < WATCH_S * 1000000ll / 3)
        return MT_OK;
    mti_uuid_format(x->f->id, host);
    snprintf(seconds, sizeof seconds, "%d", WATCH_S);
    MT_TRY(mti_feed_query(x->f, c, MTI_FEED_WATCH, (mti_param[]){{.value = mt_str(host)}, {.value = mt_str(seconds)}}, &r));
    x->watched_us = mti_mono_us();
    return MT_OK;
}

/* One look at the table. *pause_ms: when to look again, if nothing says so before. */
static mt_status look(feeding *x, mt_call *c, int64_t *pause_ms)
{
    mti_event *events[MTI_FEED_BATCH];
    unsigned n = 0;
    uint64_t floor;
    bool held;
    *pause_ms = DOWN_MS;
    MT_TRY(keep_watch(x, c));
    MT_TRY(mti_feed_floor(x->f, c, &floor, &held));
    if (!x->begun)
        spread(x->f, BEGIN, (mti_feed_key){floor, 0}, NULL, 0);
    else
        MT_TRY(mti_feed_rows(x->f, c, x->at, floor, NULL, events, &n));
    x->begun = true;
    x->at = n == MTI_FEED_BATCH ? events[n - 1]->key : (mti_feed_key){floor, 0};
    if (n)
        spread(x->f, EVENTS, (mti_feed_key){0}, events, n);
    *pause_ms = n == MTI_FEED_BATCH ? 0 : held ? HELD_MS : NET_MS;
    return MT_OK;
}

/* Nobody follows: the rings are emptied, and writers soon notify no more. */
static void rest(feeding *x)
{
    if (x->begun)
        spread(x->f, END, (mti_feed_key){0}, NULL, 0);
    *x = (feeding){.f = x->f};
    mti_wait(&x->f->wake, -1);
}

static void feed(void *arg)
{
    feeding x = {.f = arg};
    mti_feed *f = arg;
    while (!atomic_load(&f->stopping)) {
        mt_call c;
        int64_t pause_ms = DOWN_MS;
        if (!atomic_load(&f->readers)) {
            rest(&x);
            continue;
        }
        f->news = false;
        mti_platform_call(&c, f->host, f->host->loops[0], "host.feed");
        if (look(&x, &c, &pause_ms) != MT_OK && mti_db_up(f->host->db) && c.error.status != MT_CANCELLED)
            mti_log(MTI_LOG_WARN, "feed.failed", "code=%s detail=%s", c.error.code, c.error.detail);
        mti_call_dispose(&c);
        if (pause_ms && mti_sleep(AGAIN_MS) != MT_OK)
            break;
        if (pause_ms && !f->news && !atomic_load(&f->stopping))
            mti_wait(&f->wake, pause_ms);
    }
}

static void wake(void *arg)
{
    mti_feed *f = arg;
    f->news = true;
    mti_wake_all(&f->wake);
}

void mti_feed_wake_feeder(mti_feed *f)
{
    mti_loop_post(f->host->loops[0], wake, f);
}

static void on_notify(void *arg, const char *payload)
{
    wake(arg);
}

/* --- life --- */

mt_status mti_feed_create(mti_host *h, mti_feed **out, mti_error *e)
{
    mti_feed *f = calloc(1, sizeof *f);
    if (!f)
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "out of memory at start");
    f->host = h;
    f->id = mti_uuid_v7();
    f->slot = mti_loop_slot();
    mt_status s = mti_feed_prepare(f, e);
    if (s != MT_OK) {
        mti_feed_destroy(f);
        return s;
    }
    *out = f;
    return MT_OK;
}

void mti_feed_destroy(mti_feed *f)
{
    if (!f)
        return;
    mti_arena_dispose(&f->arena);
    free(f);
}

void mti_feed_attach(mti_feed *f, mti_loop *l)
{
    mti_feed_loop *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    mti_loop_set(l, f->slot, k);
    if (mti_loop_index(l))
        return;
    mti_db_listen(f->host->db, l, "mt_change", on_notify, f);
    mti_fiber_spawn(l, feed, f);
}

void mti_feed_detach(mti_feed *f, mti_loop *l)
{
    mti_feed_loop *k = loop_of(f, l);
    if (!k)
        return;
    ring_clear(k);
    mti_loop_set(l, f->slot, NULL);
    free(k);
}

static void wake_all(void *arg)
{
    mti_feed *f = arg;
    mti_feed_loop *k = loop_of(f, mti_loop_current());
    for (mti_feed_reader *r = k ? k->readers : NULL; r; r = r->next)
        mti_wake_all(&r->wait);
}

void mti_feed_stop(mti_feed *f)
{
    atomic_store(&f->stopping, true);
    wake(f);
    for (unsigned i = 0; i < f->host->n_loops; i++)
        mti_loop_post(f->host->loops[i], wake_all, f);
}
