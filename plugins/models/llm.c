/*
 * llm/1: one generation over the targets of its route. The first piece of text is fetched while it is opened: until then a
 * failure goes to the next target, after it a failure is the generation's end, so no text is ever given twice. However a
 * generation ends (its end, an error, close, or a caller that just leaves), it is counted once.
 */
#include "models.h"

#include <stdlib.h>
#include <time.h>

typedef struct generation {
    mt_call *c;
    mt_llm_in in;
    mt_llm_engine_in given;      /* as the engine got it */
    models_policy policy;
    models_route route;          /* the one being tried; then the one that answers */
    const models_target *target; /* NULL: none has answered */
    mt_handle inner;
    mt_slice first;              /* fetched by open, not handed out yet */
    mt_slice asked;              /* the name that usage is counted under */
    char org[40];                /* kept: at the call's end nothing can be asked of it */
    bool has_first, counted, ended, registered;
    enum { RENDERED_NOT, RENDERED, RENDERED_SMALL } rendered;   /* system and messages */
    mt_status end;               /* what next answers once ended */
    int64_t retry_ms;            /* what a model here told of when to ask again */
    int64_t started_us;
    mt_slice system, messages;   /* with the passages */
    mt_llm_engine_counts counts;
} generation;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* xorshift, a thread's own: weights and jitter need no more. */
static uint64_t dice(void)
{
    static _Thread_local uint64_t x;
    if (!x)
        x = (uint64_t)now_us() ^ (uint64_t)(uintptr_t)&x ^ 0x9e3779b97f4a7c15u;
    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

static int64_t cost_of(const models_target *t, const mt_llm_engine_counts *n)
{
    /* USD a million tokens is micro-USD a token */
    double fresh = (double)(n->input_tokens > n->cached_tokens ? n->input_tokens - n->cached_tokens : 0);
    double cost = fresh * t->input_price + (double)n->cached_tokens * t->cached_price + (double)n->output_tokens * t->output_price;
    return (int64_t)(cost + 0.5);
}

static void read_counts(generation *g)
{
    mt_llm_engine_counts n = {.size = sizeof n};
    if (g->inner && mt_llm_engine_usage(g->c, g->target->engine, g->inner, &n) == MT_OK)
        g->counts = n;
}

static void copy_name(char *to, size_t size, mt_slice s)
{
    size_t n = s.len < size ? s.len : size - 1;
    while (n < s.len && n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    if (n)
        memcpy(to, s.p, n);
    to[n] = 0;
}

static bool is_failure(mt_status s)
{
    return s != MT_OK && s != MT_DONE && s != MT_CANCELLED;
}

static void count(generation *g, mt_status s)
{
    ledger_row row = {.day = (int32_t)(mt_host_->clock_us() / 86400000000), .calls = 1, .errors = is_failure(s), .cancelled = s == MT_CANCELLED};
    if (g->counted)
        return;
    g->counted = true;
    if (g->target)
        read_counts(g);
    memcpy(row.org, g->org, sizeof row.org);
    copy_name(row.model, sizeof row.model, g->asked);
    copy_name(row.provider, sizeof row.provider, g->target ? g->target->engine : MT_SLICE("none"));
    if (g->target) {
        row.input_tokens = g->counts.input_tokens;
        row.cached_tokens = g->counts.cached_tokens;
        row.output_tokens = g->counts.output_tokens;
        row.cost_microusd = cost_of(g->target, &g->counts);
    }
    int64_t duration_us = now_us() - g->started_us;
    if (s == MT_DONE)
        row.latency[ledger_bucket(duration_us)] = 1;
    models_usage_add(&row);
    models_metrics_count(&row, g->registered, duration_us);
}

/* --- opening --- */

static health_verdict verdict_of(mt_status s)
{
    switch (s) {
    case MT_OK:
    case MT_DONE:
        return HEALTH_GOOD;
    case MT_UNAVAILABLE:
    case MT_TIMEOUT:
    case MT_INTERNAL:
    case MT_DENIED:
    case MT_TOO_LARGE:
        return HEALTH_BAD;
    default:                     /* limits are kept by health_rest; the rest says nothing of the upstream */
        return HEALTH_NO_VERDICT;
    }
}

/* Of no use to ask anybody else. */
static bool is_final(mt_status s)
{
    return s == MT_OK || s == MT_CANCELLED || s == MT_INVALID || s == MT_NO_MEMORY;
}

/* The route's own options with the time between two pieces, and whether the answer is to keep to passages. */
static mt_slice options_of(mt_call *c, const models_route *r, const models_target *t, bool grounded)
{
    mt_slice given = t->options;
    bool more = given.len > 2;
    return mt_printf(c, "{\"timeout_ms\":%lld%s%s%.*s", (long long)r->timeout_ms, grounded ? ",\"grounded\":true" : "", more ? "," : "", more ? (int)given.len - 1 : 1, more ? given.p + 1 : "}");
}

static mt_status prepare(generation *g, const models_target *t)
{
    mt_call *c = g->c;
    int wanted = t->reads_passages ? g->rendered : t->small ? RENDERED_SMALL : RENDERED;
    if (wanted != (int)g->rendered) {
        MT_TRY(models_prompt_render(c, &g->in, t->small, &g->system, &g->messages));
        g->rendered = wanted;
    }
    g->given = (mt_llm_engine_in){.size = sizeof g->given, .model = t->model, .system = t->reads_passages ? g->in.system : g->system,
                                  .messages = t->reads_passages ? g->in.messages : g->messages, .passages = t->reads_passages ? g->in.passages : (mt_slice){0},
                                  .tools = g->in.tools, .tool_choice = g->in.tool_choice, .response_format = g->in.response_format, .stop = g->in.stop,
                                  .options = options_of(c, &g->route, t, t->small && g->in.passages.len > 2), .max_tokens = g->in.max_tokens, .seed = g->in.seed,
                                  .temperature = g->in.temperature, .top_p = g->in.top_p};
    return MT_OK;
}

static mt_status first_piece(generation *g, const models_target *t)
{
    mt_status s = mt_llm_engine_next(g->c, t->engine, g->inner, &g->first);
    g->has_first = s == MT_OK;
    if (s == MT_DONE) {
        g->ended = true;
        g->end = MT_DONE;
    }
    return s == MT_DONE ? MT_OK : s;
}

/* One exchange with one target, up to its first piece. */
static mt_status attempt(generation *g, const models_target *t)
{
    mt_llm_engine_counts n = {.size = sizeof n};
    MT_TRY(prepare(g, t));
    g->inner = 0;
    mt_status s = mt_llm_engine_open(g->c, t->engine, &g->given, &g->inner);
    if (s == MT_OK)
        s = first_piece(g, t);
    if (s == MT_OK) {
        g->target = t;
        return MT_OK;
    }
    if (s == MT_LIMITED && g->inner && mt_llm_engine_usage(g->c, t->engine, g->inner, &n) == MT_OK && n.retry_after_ms > 0) {
        if (t->here)
            g->retry_ms = n.retry_after_ms;    /* said to this one; it has places for others */
        else
            health_rest(t->health, now_us() + n.retry_after_ms * 1000);
    }
    if (g->inner)
        mt_llm_engine_close(g->c, t->engine, g->inner);
    g->inner = 0;
    return s;
}

/* Every target once, in the order that weights and dice give. MT_UNAVAILABLE when none may be asked now. */
static mt_status try_targets(generation *g)
{
    mt_status s = MT_UNAVAILABLE;
    uint32_t tried = 0;
    int i;
    bool asked = false;
    while ((i = models_route_pick(&g->route, tried, dice(), now_us())) >= 0) {
        const models_target *t = &g->route.targets[i];
        tried |= 1u << i;
        if (!health_begin(t->health, &g->route.limits, now_us()))
            continue;
        asked = true;
        s = attempt(g, t);
        if (s == MT_OK)
            return s;                          /* its verdict is given at its end */
        models_metrics_attempt(t->engine, s);
        health_end(t->health, &g->route.limits, verdict_of(s), now_us());
        if (is_final(s))
            return s;
    }
    if (!asked)
        return mt_problem(g->c, 503, MT_SLICE("model_resting"), MT_SLICE("The model's upstreams failed just now or asked for a pause: try again shortly."), (mt_slice){0});
    return s;
}

/* How long to wait before the next round: twice as long each time, half of it by chance, and at least until somebody may be asked. */
static int64_t pause_us(const models_route *r, unsigned round)
{
    int64_t full = ((int64_t)r->backoff_ms << (round < 6 ? round : 6)) * 1000, soonest = INT64_MAX, now = now_us();
    int64_t wait = full / 2 + (int64_t)(dice() % (uint64_t)(full / 2 + 1));
    for (unsigned i = 0; i < r->n_targets; i++) {
        int64_t at = health_free_at(r->targets[i].health, &r->limits);
        soonest = at < soonest ? at : soonest;
    }
    return soonest - now > wait ? soonest - now : wait;
}

static bool worth_a_retry(const models_route *r, mt_status s)
{
    return s == MT_UNAVAILABLE || s == MT_TIMEOUT || (s == MT_LIMITED && !r->own) || s == MT_INTERNAL;
}

static mt_status try_rounds(generation *g)
{
    int64_t due = g->started_us + g->route.deadline_ms * 1000;
    mt_status s = try_targets(g);
    for (unsigned round = 0; worth_a_retry(&g->route, s) && round < g->route.retries; round++) {
        int64_t wait = pause_us(&g->route, round);
        if (now_us() + wait >= due)
            break;
        MT_TRY(mt_sleep(g->c, wait / 1000 + 1));
        s = try_targets(g);
    }
    return s;
}

/* Tells a client that may come back when. */
static void tell_when(generation *g)
{
    int64_t soonest = INT64_MAX, now = now_us();
    for (unsigned i = 0; i < g->route.n_targets; i++) {
        int64_t at = health_free_at(g->route.targets[i].health, &g->route.limits);
        soonest = at < soonest ? at : soonest;
    }
    int64_t wait_ms = soonest > now && soonest != INT64_MAX ? (soonest - now) / 1000 : g->retry_ms;
    if (wait_ms > 0)
        mt_respond_header(g->c, MT_SLICE("retry-after"), mt_printf(g->c, "%lld", (long long)(wait_ms + 999) / 1000));
}

/* The route, then the models that stand in for it. A fallback's own fallbacks do not count. */
static mt_status try_routes(generation *g)
{
    models_route asked = g->route;
    mt_status s = try_rounds(g), last = s;
    bool told = s == MT_LIMITED && asked.own;
    for (unsigned i = 0; !told && !is_final(s) && i < asked.n_fallbacks; i++) {
        if (models_policy_check(g->c, &g->policy, asked.fallbacks[i]) != MT_OK || models_route_find(g->c, asked.fallbacks[i], &g->route) != MT_OK)
            continue;
        last = s = try_rounds(g);
    }
    if (last == MT_LIMITED || last == MT_UNAVAILABLE)
        tell_when(g);
    return last;
}

static mt_status check_size(generation *g)
{
    int64_t bytes = (int64_t)(g->in.messages.len + g->in.system.len + g->in.passages.len);
    if (!g->policy.max_input_tokens || bytes / 4 <= g->policy.max_input_tokens)
        return MT_OK;
    return mt_problem(g->c, 422, MT_SLICE("input_too_long"), mt_printf(g->c, "The workspace allows about %lld tokens of input.", (long long)g->policy.max_input_tokens),
                      MT_SLICE("/messages"));
}

static mt_status begin(generation *g)
{
    mt_slice name = g->in.model;
    MT_TRY(models_policy_read(g->c, &g->policy));
    if (!name.len)
        name = g->policy.default_model;
    MT_TRY(models_route_find(g->c, name, &g->route));
    MT_TRY(models_policy_check(g->c, &g->policy, g->route.name));
    g->asked = g->route.name;
    g->registered = g->route.registered;
    uint32_t most = g->policy.max_output_tokens;
    if (most && (!g->in.max_tokens || g->in.max_tokens > most))
        g->in.max_tokens = most;
    return check_size(g);
}

/* --- ending --- */

static void finish(generation *g, mt_status s)
{
    if (g->ended && g->counted)
        return;
    g->ended = true;
    g->end = s;
    count(g, s);
    if (g->target)
        health_end(g->target->health, &g->route.limits, verdict_of(s), now_us());
}

/* The caller left without a word: what came until then is counted. */
static void on_call_end(void *arg)
{
    generation *g = arg;
    if (!g->counted)
        finish(g, MT_CANCELLED);
}

static mt_status llm_open(void *self, mt_call *c, const mt_llm_in *in, mt_handle *out)
{
    generation *g = mt_alloc(c, sizeof *g);
    if (!g)
        return MT_NO_MEMORY;
    g->c = c;
    g->in = *in;
    g->started_us = now_us();
    copy_name(g->org, sizeof g->org, mt_org_id(c));
    MT_TRY(begin(g));
    MT_TRY(mt_defer_add(c, on_call_end, g));
    mt_status s = try_routes(g);
    if (s != MT_OK)
        finish(g, s);
    else if (g->ended)
        finish(g, MT_DONE);
    *out = s == MT_OK ? (mt_handle)(uintptr_t)g : 0;
    return s;
}

static mt_status llm_next(void *self, mt_call *c, mt_handle handle, mt_slice *token)
{
    generation *g = (generation *)(uintptr_t)handle;
    if (g->has_first) {
        g->has_first = false;
        *token = g->first;
        return MT_OK;
    }
    if (g->ended)
        return g->end;
    mt_status s = mt_llm_engine_next(c, g->target->engine, g->inner, token);
    if (s != MT_OK)
        finish(g, s);
    return s;
}

static mt_status llm_tool_calls(void *self, mt_call *c, mt_handle handle, mt_slice *out)
{
    generation *g = (generation *)(uintptr_t)handle;
    *out = MT_SLICE("[]");
    return g->inner ? mt_llm_engine_tool_calls(c, g->target->engine, g->inner, out) : MT_OK;
}

static mt_status llm_usage(void *self, mt_call *c, mt_handle handle, mt_llm_counts *out)
{
    generation *g = (generation *)(uintptr_t)handle;
    read_counts(g);
    *out = (mt_llm_counts){.size = sizeof *out, .input_tokens = g->counts.input_tokens, .cached_tokens = g->counts.cached_tokens,
                           .output_tokens = g->counts.output_tokens, .cost_microusd = cost_of(g->target, &g->counts), .finish = g->counts.finish,
                           .model = g->route.name, .provider = g->target->engine};
    return MT_OK;
}

static mt_status llm_close(void *self, mt_call *c, mt_handle handle)
{
    generation *g = (generation *)(uintptr_t)handle;
    finish(g, MT_CANCELLED);
    g->has_first = false;
    if (g->inner)
        mt_llm_engine_close(c, g->target->engine, g->inner);
    g->inner = 0;
    return MT_OK;
}

/* Without a tokenizer here: a word piece has about four bytes of English, and never fewer than two on average elsewhere. */
static uint32_t estimate(mt_slice text)
{
    size_t plain = 0;
    for (size_t i = 0; i < text.len; i++)
        plain += (unsigned char)text.p[i] < 128;
    return (uint32_t)((plain + 2) / 3 + (text.len - plain + 1) / 2);
}

static uint32_t llm_count_tokens(void *self, mt_call *c, mt_slice model, mt_slice text)
{
    mt_slice engine, own;
    uint32_t n = models_route_engine(c, model, &engine, &own) ? mt_llm_engine_count_tokens(c, engine, own, text) : 0;
    return n || !text.len ? n : estimate(text);
}

static mt_status llm_models(void *self, mt_call *c, uint32_t index, mt_llm_model *out)
{
    return models_route_list(c, index, out);
}

static mt_status llm_describe(void *self, mt_call *c, mt_slice model, mt_llm_model *out)
{
    models_policy policy = {0};
    if (!model.len)
        MT_TRY(models_policy_read(c, &policy));
    return models_route_describe(c, model.len ? model : policy.default_model, out);
}

const mt_llm_1_provider models_llm = {.size = sizeof models_llm, .version = 1, .open = llm_open, .next = llm_next, .tool_calls = llm_tool_calls,
                                      .usage = llm_usage, .close = llm_close, .count_tokens = llm_count_tokens, .models = llm_models, .describe = llm_describe};
