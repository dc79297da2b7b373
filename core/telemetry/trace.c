#include "telemetry/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

enum { MAX_SPANS = 128, FIRST_SPANS = 16, RING = 256, MAX_DETAIL = 256, KEPT_STEP = 512, KEPT_REUSED = 4096 };

typedef struct span {
    const char *kind, *name, *owner, *outcome, *detail;
    int64_t from_us, to_us;
} span;

struct mti_trace {
    uint8_t parent[8]; /* zero: none */
    uint16_t n, cap, dropped;
    span *spans; /* in the call's arena */
};

/* A trace that outlives its call: one block that holds the spans and copies of their texts. */
typedef struct kept {
    size_t size; /* of the block */
    uint8_t id[16], span_id[8], parent[8];
    mti_uuid org, request;
    int64_t started_us, wall_us, took_us;
    int status;
    unsigned n, dropped;
    const char *operation;
    span spans[];
} kept;

/* Failed and slow traces have a ring of their own, so that a flood of good ones does not push them
 * out. */
typedef struct rings {
    kept *ring[2][RING];
    unsigned next[2];
} rings;

static int64_t slow_us = 1000000;
static unsigned rings_slot;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static void take_slot(void)
{
    rings_slot = mti_loop_slot();
}

void mti_trace_set_slow(int64_t us)
{
    slow_us = us;
}

/* splitmix64: ids must differ, not be secret; a random seed a thread. */
static uint64_t next_id(void)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        mti_random(&state, sizeof state);
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return z ? z : 1;
}

static bool parse_hex(const char *p, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < 2 * bytes; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | d : d << 4);
    }
    return true;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    while (n && *p == 0)
        p++, n--;
    return n == 0;
}

/* https://www.w3.org/TR/trace-context/#traceparent-header */
static bool parse_traceparent(mt_slice h, uint8_t id[16], uint8_t parent[8])
{
    uint8_t version, flags;
    return h.len >= 55 && h.p[2] == '-' && h.p[35] == '-' && h.p[52] == '-' &&
           parse_hex(h.p, 1, &version) && version != 0xff &&
           (h.len == 55 || (version > 0 && h.p[55] == '-')) && parse_hex(h.p + 3, 16, id) &&
           parse_hex(h.p + 36, 8, parent) && parse_hex(h.p + 53, 1, &flags) && !all_zero(id, 16) &&
           !all_zero(parent, 8);
}

void mti_trace_begin(mt_call *c, mt_slice traceparent)
{
    mti_trace *t = mti_arena_alloc(&c->arena, sizeof *t);
    uint8_t id[16], parent[8];
    if (parse_traceparent(traceparent, id, parent)) {
        memcpy(c->trace_id, id, 16);
        memcpy(t->parent, parent, 8);
    } else {
        uint64_t halves[2] = {next_id(), next_id()};
        memcpy(c->trace_id, halves, 16);
    }
    uint64_t own = next_id();
    memcpy(c->span_id, &own, 8);
    c->trace = t;
}

static bool make_room(mt_call *c, mti_trace *t)
{
    if (t->n < t->cap)
        return true;
    if (t->cap == MAX_SPANS)
        return false;
    unsigned cap = t->cap ? 2u * t->cap : FIRST_SPANS;
    span *spans = mti_arena_try_alloc(&c->arena, cap * sizeof *spans);
    if (!spans)
        return false;
    if (t->n)
        memcpy(spans, t->spans, t->n * sizeof *spans);
    t->spans = spans;
    t->cap = (uint16_t)cap;
    return true;
}

void mti_trace_span(mt_call *c, const char *kind, const char *name, const char *owner,
                    int64_t from_us, int64_t to_us, const char *outcome, const char *detail)
{
    mti_trace *t = c->trace;
    if (!t)
        return;
    if (!make_room(c, t)) {
        t->dropped++;
        return;
    }
    if (detail) {
        mt_slice s = mt_str(detail);
        detail = mti_arena_strndup(&c->arena, s.p,
                                   s.len > MAX_DETAIL ? mti_utf8_cut(s, MAX_DETAIL) : s.len);
    }
    t->spans[t->n++] = (span){kind, name, owner, outcome, detail, from_us, to_us};
}

/* ", kind;dur=1.2" in milliseconds at out + used, when it fits; answers what is used then. */
static size_t timing_add(char *out, size_t used, size_t size, const char *kind, int64_t us)
{
    char one[80], *at = one;
    uint64_t tenths = us > 0 ? ((uint64_t)us + 50) / 100 : 0;
    if (used)
        at = stpcpy(at, ", ");
    size_t n = strnlen(kind, 32);
    at = mempcpy(at, kind, n);
    at = stpcpy(at, ";dur=");
    at += mti_decimal(tenths / 10, at);
    *at++ = '.';
    *at++ = (char)('0' + tenths % 10);
    n = (size_t)(at - one);
    if (used + n >= size)
        return used;
    memcpy(out + used, one, n);
    out[used + n] = 0;
    return used + n;
}

void mti_trace_server_timing(const mt_call *c, char *out, size_t size)
{
    size_t used = timing_add(out, 0, size, "app", mti_mono_us() - c->started_us);
    const mti_trace *t = c->trace;
    for (unsigned i = 0; t && i < t->n; i++) {
        const char *kind = t->spans[i].kind;
        int64_t sum = 0;
        bool seen = false;
        for (unsigned j = 0; j < t->n; j++)
            if (t->spans[j].kind == kind || strcmp(t->spans[j].kind, kind) == 0) {
                seen = seen || j < i;
                sum += t->spans[j].to_us - t->spans[j].from_us;
            }
        if (seen)
            continue;
        used = timing_add(out, used, size, kind, sum);
    }
}

void mti_traceparent(const mt_call *c, char out[56])
{
    memcpy(out, "00-", 3);
    mti_hex(c->trace_id, 16, out + 3);
    out[35] = '-';
    mti_hex(c->span_id, 8, out + 36);
    memcpy(out + 52, "-01", 4);
}

/* Copies of texts, one behind the other. Spans share most of theirs with the span before. */
typedef struct text_pool {
    char *at, *end;
    bool full;
} text_pool;

static const char *text_copy(text_pool *p, const char *s)
{
    if (!s)
        return NULL;
    size_t n = strlen(s) + 1;
    if (n > (size_t)(p->end - p->at)) {
        p->full = true;
        return NULL;
    }
    char *to = p->at;
    memcpy(to, s, n);
    p->at += n;
    return to;
}

static void spans_copy(kept *k, const mti_trace *t, text_pool *p)
{
    span was = {0}, copy = {0};
#define SHARED(field) (i && s->field == was.field ? copy.field : text_copy(p, s->field))
    for (unsigned i = 0; i < t->n && !p->full; i++) {
        const span *s = &t->spans[i];
        copy = (span){SHARED(kind),    SHARED(name), SHARED(owner), SHARED(outcome),
                      SHARED(detail), s->from_us,   s->to_us};
        was = *s;
        k->spans[i] = copy;
    }
#undef SHARED
}

/* Fills the block; false when its texts do not fit. */
static bool kept_fill(kept *k, const mt_call *c, const mti_trace *t, int status)
{
    int64_t took = mti_mono_us() - c->started_us;
    *k = (kept){.size = k->size,
                .org = c->who.org_id,
                .request = c->request_id,
                .started_us = c->started_us,
                .wall_us = mti_now_us() - took,
                .took_us = took,
                .status = status,
                .n = t->n,
                .dropped = t->dropped};
    memcpy(k->id, c->trace_id, 16);
    memcpy(k->span_id, c->span_id, 8);
    memcpy(k->parent, t->parent, 8);
    text_pool p = {(char *)&k->spans[t->n], (char *)k + k->size, false};
    k->operation = text_copy(&p, c->operation);
    spans_copy(k, t, &p);
    return !p.full;
}

static size_t text_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

/* The bytes that certainly hold the trace. */
static size_t kept_size(const mt_call *c, const mti_trace *t)
{
    size_t texts = text_size(c->operation);
    for (unsigned i = 0; i < t->n; i++) {
        const span *s = &t->spans[i];
        texts += text_size(s->kind) + text_size(s->name) + text_size(s->owner) +
                 text_size(s->outcome) + text_size(s->detail);
    }
    return sizeof(kept) + t->n * sizeof(span) + texts;
}

/* Keeps the trace in *place, in the block that is there when that is large enough (and not so large
 * that it should be given back). */
static void kept_put(kept **place, const mt_call *c, const mti_trace *t, int status)
{
    kept *k = *place;
    if (k && k->size <= KEPT_REUSED && k->size >= sizeof *k + t->n * sizeof(span) &&
        kept_fill(k, c, t, status))
        return;
    *place = NULL;
    free(k);
    size_t size = (kept_size(c, t) + KEPT_STEP - 1) / KEPT_STEP * KEPT_STEP;
    k = malloc(size);
    if (!k)
        return;
    k->size = size;
    kept_fill(k, c, t, status);
    *place = k;
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

void mti_trace_end(mt_call *c, bool keep, int http_status)
{
    mti_trace *t = c->trace;
    c->trace = NULL;
    rings *r = t && keep && c->loop ? rings_of(c->loop, true) : NULL;
    if (!r)
        return;
    int which = http_status >= 400 || mti_mono_us() - c->started_us >= slow_us;
    kept_put(&r->ring[which][r->next[which]], c, t, http_status);
    r->next[which] = (r->next[which] + 1) % RING;
}

static void add_text(mti_buf *b, const char *name, const char *text)
{
    mti_buf_addf(b, ",\"%s\":", name);
    if (text)
        mti_buf_add_json(b, mt_str(text));
    else
        mti_buf_adds(b, "null");
}

static void add_hex(mti_buf *b, const char *name, const uint8_t *p, size_t n)
{
    char hex[33];
    mti_hex(p, n, hex);
    add_text(b, name, all_zero(p, n) ? NULL : hex);
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
    mti_buf_addf(
        b, ",\"status\":%d,\"started_at\":\"%s\",\"duration_ms\":%.3f,\"dropped\":%u,\"spans\":[",
        k->status, started, (double)k->took_us / 1000.0, k->dropped);
    for (unsigned i = 0; i < k->n; i++) {
        const span *s = &k->spans[i];
        mti_buf_addf(b, "%s{\"start_ms\":%.3f,\"duration_ms\":%.3f", i ? "," : "",
                     (double)(s->from_us - k->started_us) / 1000.0,
                     (double)(s->to_us - s->from_us) / 1000.0);
        add_text(b, "kind", s->kind);
        add_text(b, "name", s->name);
        add_text(b, "owner", s->owner);
        add_text(b, "outcome", s->outcome);
        add_text(b, "detail", s->detail);
        mti_buf_addc(b, '}');
    }
    mti_buf_adds(b, "]}");
}

bool mti_trace_find(mti_loop *l, const uint8_t id[16], mti_uuid org, mti_buf *json)
{
    rings *r = rings_of(l, false);
    for (unsigned i = 0; r && i < 2 * RING; i++) {
        const kept *k = r->ring[i / RING][i % RING];
        if (k && memcmp(k->id, id, 16) == 0 && (mti_uuid_is_nil(org) || mti_uuid_eq(k->org, org))) {
            kept_write(k, json);
            return true;
        }
    }
    return false;
}

void mti_trace_dispose(mti_loop *l)
{
    rings *r = rings_of(l, false);
    if (!r)
        return;
    for (unsigned i = 0; i < 2 * RING; i++)
        free(r->ring[i / RING][i % RING]);
    free(r);
    mti_loop_set(l, rings_slot, NULL);
}
