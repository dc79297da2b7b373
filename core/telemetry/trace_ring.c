/* Keeping: two rings of finished traces a loop, and what is told of them. */
#include "telemetry/trace_impl.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { RING = 256, RING_BYTES = 2 << 20, KEPT_STEP = 512, KEPT_REUSED = 4096 };

/* A trace that outlives its call: one block that holds the spans and copies of those texts that do not live as long as the loop. */
typedef struct kept {
    size_t size; /* of the block */
    uint8_t id[16], span_id[8], parent[8];
    mti_uuid org, workspace, request;
    uint64_t began;
    int64_t wall_us, took_us;
    int status;
    bool recorded;
    unsigned n, dropped;
    const char *operation;
    char code[sizeof((mti_error *)0)->code];
    mti_span spans[];
} kept;

typedef struct ring {
    kept *places[RING];
    unsigned next;
    size_t bytes;
} ring;

/* Failed and slow traces have a ring of their own, so that a flood of good ones does not push them
 * out. */
typedef struct rings {
    ring good, bad;
} rings;

static unsigned rings_slot;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static void take_slot(void)
{
    rings_slot = mti_loop_slot();
}

static rings *rings_of(mti_loop *l, bool make)
{
    pthread_once(&slot_once, take_slot);
    rings *r = mti_loop_get(l, rings_slot);
    if (!r && make) {
        r = calloc(1, sizeof *r);
        mti_loop_set(l, rings_slot, r);
    }
    return r;
}

/* --- copying --- */

static const char *text_copy(char **at, const char *s)
{
    if (!s)
        return NULL;
    size_t n = strlen(s) + 1;
    char *to = *at;
    memcpy(to, s, n);
    *at += n;
    return to;
}

static size_t text_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static const char *owner_to_copy(const mti_span *s)
{
    return s->kind == MTI_TRACE_HOOK ? s->owner : NULL;
}

/* The time of day of a monotonic time. Their distance is asked for again now and then: the clock may be set. */
static int64_t wall_at(int64_t mono_us)
{
    enum { AGAIN_US = 1000000 };
    static _Thread_local int64_t offset, asked_us;
    if (!asked_us || mono_us - asked_us > AGAIN_US) {
        asked_us = mti_mono_us();
        offset = mti_now_us() - asked_us;
    }
    return mono_us + offset;
}

static void kept_fill(kept *k, const mt_call *c, const mti_trace *t, int status, int64_t took_us)
{
    k->org = c->who.org_id;
    k->workspace = mti_uuid_is_nil(c->workspace_id) ? c->who.workspace_id : c->workspace_id;
    k->request = c->request_id;
    k->wall_us = wall_at(c->started_us);
    k->took_us = took_us;
    k->status = status;
    k->recorded = t != NULL;
    k->n = t ? t->n : 0;
    k->dropped = t ? t->dropped : 0;
    k->began = t ? t->began : 0;
    k->operation = c->operation;
    memcpy(k->id, c->trace_id, 16);
    memcpy(k->span_id, c->span_id, 8);
    memset(k->parent, 0, 8);
    k->code[0] = 0;
    if (status >= 400)
        memcpy(k->code, c->error.code, sizeof k->code);
    if (!t)
        return;
    memcpy(k->parent, t->parent, 8);
    if (k->n)
        memcpy(k->spans, t->spans, k->n * sizeof *k->spans);
    char *at = (char *)&k->spans[k->n];
    for (unsigned i = 0; i < k->n; i++) {
        mti_span *s = &k->spans[i];
        if (owner_to_copy(s))
            s->owner = text_copy(&at, s->owner);
        s->detail = text_copy(&at, s->detail);
    }
}

static size_t kept_size(const mti_trace *t)
{
    size_t size = sizeof(kept);
    for (unsigned i = 0; t && i < t->n; i++)
        size += sizeof *t->spans + text_size(owner_to_copy(&t->spans[i])) + text_size(t->spans[i].detail);
    return size;
}

/* --- the ring --- */

static void place_free(ring *r, unsigned i)
{
    if (!r->places[i])
        return;
    r->bytes -= r->places[i]->size;
    free(r->places[i]);
    r->places[i] = NULL;
}

/* Long traces push out more than one old one. */
static void make_room(ring *r, unsigned place, size_t size)
{
    place_free(r, place);
    for (unsigned i = 1; i < RING && r->bytes + size > RING_BYTES; i++)
        place_free(r, (place + i) % RING);
}

/* The block that comes next was last touched 256 traces ago: it is on its way into the cache while the next call runs. */
static void expect_next(const ring *r, size_t size)
{
    const char *next = (const char *)r->places[r->next];
    for (size_t at = 0; next && at < size; at += 64)
        __builtin_prefetch(next + at, 1);
}

/* In the block that is there when that is large enough, and not so large that it should be given back. */
static void ring_put(ring *r, const mt_call *c, const mti_trace *t, int status, int64_t took_us)
{
    unsigned place = r->next;
    kept *k = r->places[place];
    size_t size = kept_size(t);
    r->next = (place + 1) % RING;
    if (!k || k->size < size || k->size > KEPT_REUSED) {
        size = (size + KEPT_STEP - 1) / KEPT_STEP * KEPT_STEP;
        make_room(r, place, size);
        k = malloc(size);
        if (!k)
            return;
        k->size = size;
        r->places[place] = k;
        r->bytes += size;
    }
    kept_fill(k, c, t, status, took_us);
    expect_next(r, size < KEPT_REUSED ? size : KEPT_REUSED);
}

void mti_trace_keep(const mt_call *c, const mti_trace *t, int http_status, int64_t took_us, bool slow)
{
    rings *r = rings_of(c->loop, true);
    if (r)
        ring_put(slow || http_status >= 400 ? &r->bad : &r->good, c, t, http_status, took_us);
}

void mti_trace_dispose(mti_loop *l)
{
    rings *r = rings_of(l, false);
    if (!r)
        return;
    for (unsigned i = 0; i < RING; i++) {
        place_free(&r->good, i);
        place_free(&r->bad, i);
    }
    free(r);
    mti_loop_set(l, rings_slot, NULL);
}

static kept *place_at(const rings *r, unsigned i)
{
    return (i < RING ? &r->good : &r->bad)->places[i % RING];
}

static bool may_see(const kept *k, const mti_trace_viewer *v)
{
    return (mti_uuid_is_nil(v->org_id) || mti_uuid_eq(k->org, v->org_id)) &&
           (mti_uuid_is_nil(v->workspace_id) || mti_uuid_eq(k->workspace, v->workspace_id));
}

static int order_of(mti_uuid a, mti_uuid b)
{
    return memcmp(a.b, b.b, sizeof a.b);
}

/* --- telling --- */

static void add_text(mti_buf *b, const char *name, const char *text)
{
    mti_buf_addf(b, ",\"%s\":", name);
    if (text && *text)
        mti_buf_add_json(b, mt_str(text));
    else
        mti_buf_adds(b, "null");
}

static void add_hex(mti_buf *b, const char *name, const uint8_t *p, size_t n)
{
    char hex[33];
    size_t zeros = 0;
    mti_hex(p, n, hex);
    while (zeros < n && !p[zeros])
        zeros++;
    add_text(b, name, zeros == n ? NULL : hex);
}

/* By start; what contains another comes before it: of two equal ones the stage, else the one that was recorded (so ended) later. Those that took
 * no time stay in the order in which they were recorded. */
static int by_start(const void *x, const void *y)
{
    const mti_span *a = *(mti_span *const *)x, *b = *(mti_span *const *)y;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    if (a->to != b->to) /* stages follow each other and contain none */
        return (a->to > b->to) != (a->kind == MTI_TRACE_STAGE && b->kind == MTI_TRACE_STAGE) ? -1 : 1;
    if ((a->kind == MTI_TRACE_STAGE) != (b->kind == MTI_TRACE_STAGE))
        return a->kind == MTI_TRACE_STAGE ? -1 : 1;
    return (a < b) == (a->from == a->to) ? -1 : 1;
}

/* Of two that are in this order. */
static bool contains(const mti_span *outer, const mti_span *s)
{
    return s->kind != MTI_TRACE_STAGE && s->to <= outer->to && (outer->kind == MTI_TRACE_STAGE || s->from < outer->to);
}

static void span_write(const kept *k, const mti_span *s, unsigned depth, mti_buf *b)
{
    static const char *const kinds[MTI_TRACE_KINDS] = {"stage", "hook", "handler", "db", "service", "offload", "http"};
    mti_buf_addf(b, "{\"depth\":%u,\"start_ms\":%.3f,\"duration_ms\":%.3f", depth,
                 (double)mti_trace_us(s->from - k->began) / 1000.0, (double)mti_trace_us(s->busy) / 1000.0);
    add_text(b, "kind", kinds[s->kind]);
    add_text(b, "name", s->name);
    add_text(b, "owner", s->owner);
    add_text(b, "outcome", s->outcome);
    mti_buf_addf(b, ",\"count\":%u", s->count);
    if (s->kind == MTI_TRACE_HOOK)
        mti_buf_addf(b, ",\"patches\":%s", s->detail ? s->detail : "[]");
    else if (s->detail)
        add_text(b, "detail", s->detail);
    mti_buf_addc(b, '}');
}

/* One fiber does one thing at a time, so intervals nest, and depth is the number of those that are still open. */
static void spans_write(const kept *k, mti_buf *b)
{
    const mti_span *sorted[MTI_TRACE_SPANS], *open[MTI_TRACE_SPANS];
    unsigned depth = 0;
    for (unsigned i = 0; i < k->n; i++)
        sorted[i] = &k->spans[i];
    qsort(sorted, k->n, sizeof *sorted, by_start);
    for (unsigned i = 0; i < k->n; i++) {
        const mti_span *s = sorted[i];
        while (depth && !contains(open[depth - 1], s))
            depth--;
        if (i)
            mti_buf_addc(b, ',');
        span_write(k, s, depth, b);
        open[depth++] = s;
    }
}

static void kept_write(const kept *k, mti_buf *b)
{
    char started[28], request[37], id[33];
    mti_time_rfc3339(k->wall_us, started);
    mti_uuid_format(k->request, request);
    mti_hex(k->id, 16, id);
    mti_buf_addf(b, "{\"trace_id\":\"%s\"", id);
    add_hex(b, "span_id", k->span_id, 8);
    add_hex(b, "parent_id", k->parent, 8);
    add_text(b, "request_id", request);
    add_text(b, "operation", k->operation);
    add_text(b, "code", k->code);
    mti_buf_addf(b, ",\"status\":%d,\"started_at\":\"%s\",\"duration_ms\":%.3f,\"recorded\":%s,\"dropped\":%u,\"spans\":[",
                 k->status, started, (double)k->took_us / 1000.0, k->recorded ? "true" : "false", k->dropped);
    spans_write(k, b);
    mti_buf_adds(b, "]}");
}

bool mti_trace_find(mti_loop *l, const uint8_t id[16], const mti_trace_viewer *v, mti_uuid *newest, mti_buf *json)
{
    rings *r = rings_of(l, false);
    const kept *found = NULL;
    for (unsigned i = 0; r && i < 2 * RING; i++) {
        const kept *k = place_at(r, i);
        if (!k || !may_see(k, v) || (memcmp(k->id, id, 16) && memcmp(k->request.b, id, 16)))
            continue;
        if (order_of(k->request, found ? found->request : *newest) > 0)
            found = k;
    }
    if (found) {
        *newest = found->request;
        mti_buf_clear(json);
        kept_write(found, json);
    }
    return !mti_uuid_is_nil(*newest);
}

static void outline_fill(mti_trace_outline *o, const kept *k)
{
    *o = (mti_trace_outline){.request_id = k->request, .wall_us = k->wall_us, .took_us = k->took_us, .status = k->status, .recorded = k->recorded};
    memcpy(o->trace_id, k->id, 16);
    snprintf(o->operation, sizeof o->operation, "%s", k->operation);
    snprintf(o->code, sizeof o->code, "%s", k->code);
}

static bool matches(const kept *k, const mti_trace_filter *f)
{
    return may_see(k, &f->viewer) && order_of(k->request, f->before) < 0 && k->status >= f->min_status &&
           (!f->operation || !strcmp(k->operation, f->operation));
}

unsigned mti_trace_list(mti_loop *l, const mti_trace_filter *f, mti_trace_outline *out, unsigned n, unsigned cap)
{
    rings *r = rings_of(l, false);
    for (unsigned i = 0; r && i < 2 * RING; i++) {
        const kept *k = place_at(r, i);
        if (!k || !matches(k, f))
            continue;
        unsigned at = n;
        while (at && order_of(k->request, out[at - 1].request_id) > 0)
            at--;
        if (at == cap)
            continue;
        n += n < cap;
        memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof *out);
        outline_fill(&out[at], k);
    }
    return n;
}
