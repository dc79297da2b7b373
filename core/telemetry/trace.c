/* Recording: what a call collects while it runs. */
#include "telemetry/trace_impl.h"

#include "base/utf8.h"

enum { FIRST_SPANS = 16 };

static mti_trace_options options = {.every = 1, .slow_us = 1000000};
static mti_ticks_base base;

/* At start: a tick's length is then known when the first trace is read. */
void mti_trace_setup(const mti_trace_options *o)
{
    options = *o;
    if (!base.tick)
        base = mti_ticks_start();
}

int64_t mti_trace_us(uint64_t ticks)
{
    return mti_ticks_us(&base, ticks);
}

bool mti_trace_values(void)
{
    return options.values;
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

/* The caller's flag "sampled" draws nothing: anybody could then have everything recorded. */
static bool draw(void)
{
    return options.every == 1 || (options.every && next_id() % options.every == 0);
}

void mti_trace_begin(mt_call *c, mt_slice traceparent, bool asked)
{
    uint8_t id[16], parent[8] = {0};
    if (parse_traceparent(traceparent, id, parent)) {
        memcpy(c->trace_id, id, 16);
    } else {
        uint64_t halves[2] = {next_id(), next_id()};
        memcpy(c->trace_id, halves, 16);
        memset(parent, 0, sizeof parent);
    }
    uint64_t own = next_id();
    memcpy(c->span_id, &own, 8);
    bool drawn = draw();
    if (!drawn && !asked)
        return;
    c->trace = mti_arena_alloc(&c->arena, sizeof *c->trace);
    memcpy(c->trace->parent, parent, 8);
    c->trace->began = mti_ticks();
    c->trace->drawn = drawn;
    c->trace->asked = asked;
}

bool mti_trace_wants(const mt_call *c)
{
    return c->trace && c->trace->asked && !c->trace->allowed;
}

void mti_trace_allow(mt_call *c)
{
    if (c->trace)
        c->trace->allowed = c->trace->asked;
}

bool mti_trace_allowed(const mt_call *c)
{
    return c->trace && c->trace->allowed;
}

static bool is_kept(const mti_trace *t)
{
    return t && (t->drawn || t->allowed);
}

static bool make_room(mt_call *c, mti_trace *t)
{
    if (t->n < t->cap)
        return true;
    if (t->cap == MTI_TRACE_SPANS)
        return false;
    unsigned cap = t->cap ? 2u * t->cap : FIRST_SPANS;
    mti_span *spans = mti_arena_try_alloc(&c->arena, cap * sizeof *spans);
    if (!spans)
        return false;
    if (t->n)
        memcpy(spans, t->spans, t->n * sizeof *spans);
    t->spans = spans;
    t->cap = (uint16_t)cap;
    return true;
}

/* Hundreds of calls of one kind (the words of an answer, say) are one span. */
static bool repeats(const mti_trace *t, const mti_span *s)
{
    const mti_span *last = t->n && !t->dropped ? &t->spans[t->n - 1] : NULL;
    return last && last->kind == s->kind && last->name == s->name && last->owner == s->owner &&
           last->outcome == s->outcome && !last->detail && !s->detail && last->to <= s->from;
}

void mti_trace_span(mt_call *c, mti_trace_kind kind, const char *name, const char *owner, uint64_t from, uint64_t to, const char *outcome,
                    const char *detail)
{
    mti_trace *t = c->trace;
    mti_span s = {name, owner, outcome, detail, from, to, to - from, 1, kind};
    if (!t)
        return;
    if (repeats(t, &s)) {
        mti_span *last = &t->spans[t->n - 1];
        last->to = to;
        last->busy += s.busy;
        last->count++;
        return;
    }
    if (!make_room(c, t)) {
        t->dropped++;
        return;
    }
    if (detail) {
        mt_slice text = mt_str(detail);
        s.detail = mti_arena_strndup(&c->arena, text.p,
                                     text.len > MTI_TRACE_DETAIL ? mti_utf8_cut(text, MTI_TRACE_DETAIL) : text.len);
    }
    t->spans[t->n++] = s;
}

/* ", kind;dur=1.2" in milliseconds at out + used, when it fits; answers what is used then. */
static size_t timing_add(char *out, size_t used, size_t size, const char *kind, int64_t us)
{
    char one[80], *at = one;
    uint64_t tenths = us > 0 ? ((uint64_t)us + 50) / 100 : 0;
    if (used)
        at = stpcpy(at, ", ");
    at = stpcpy(at, kind);
    at = stpcpy(at, ";dur=");
    at += mti_decimal(tenths / 10, at);
    *at++ = '.';
    *at++ = (char)('0' + tenths % 10);
    size_t n = (size_t)(at - one);
    if (used + n >= size)
        return used;
    memcpy(out + used, one, n);
    out[used + n] = 0;
    return used + n;
}

/* Stages hold all the others and are not told. */
void mti_trace_server_timing(const mt_call *c, bool parts, char *out, size_t size)
{
    static const char *const names[MTI_TRACE_KINDS] = {NULL, "hook", "handler", "db", "service", "offload", "http"};
    uint64_t sums[MTI_TRACE_KINDS] = {0};
    bool seen[MTI_TRACE_KINDS] = {false};
    size_t used = timing_add(out, 0, size, "app", mti_mono_us() - c->started_us);
    const mti_trace *t = parts ? c->trace : NULL;
    for (unsigned i = 0; t && i < t->n; i++) {
        sums[t->spans[i].kind] += t->spans[i].busy;
        seen[t->spans[i].kind] = true;
    }
    for (int i = MTI_TRACE_HOOK; i < MTI_TRACE_KINDS; i++)
        if (seen[i])
            used = timing_add(out, used, size, names[i], mti_trace_us(sums[i]));
}

void mti_traceparent(const mt_call *c, char out[56])
{
    memcpy(out, "00-", 3);
    mti_hex(c->trace_id, 16, out + 3);
    out[35] = '-';
    mti_hex(c->span_id, 8, out + 36);
    memcpy(out + 52, is_kept(c->trace) ? "-01" : "-00", 4);
}

void mti_trace_end(mt_call *c, int http_status)
{
    const mti_trace *t = is_kept(c->trace) ? c->trace : NULL;
    int64_t took_us = mti_mono_us() - c->started_us;
    bool slow = took_us >= options.slow_us;
    c->trace = NULL;
    if (c->loop && (t || slow || http_status >= 500))
        mti_trace_keep(c, t, http_status, took_us, slow);
}
