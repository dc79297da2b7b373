/* The entry table that the host sees: for each handler and hook of the worker's plugin a function that only knows its number. */
#include <stdio.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/impl.h"

enum { HANDLERS = 256, HOOKS = 64, SERVICES = 32, START_MS = 10000, COARSE_US = 10000 };

/* X(00) … X(ff), by hexadecimal digits: names cannot be computed. */
#define SIXTEEN(X, H) X(H##0) X(H##1) X(H##2) X(H##3) X(H##4) X(H##5) X(H##6) X(H##7) X(H##8) X(H##9) X(H##a) X(H##b) X(H##c) X(H##d) X(H##e) X(H##f)
#define FIRST_64(X) SIXTEEN(X, 0) SIXTEEN(X, 1) SIXTEEN(X, 2) SIXTEEN(X, 3)
#define ALL_256(X)                                                                                                  \
    FIRST_64(X) SIXTEEN(X, 4) SIXTEEN(X, 5) SIXTEEN(X, 6) SIXTEEN(X, 7) SIXTEEN(X, 8) SIXTEEN(X, 9) SIXTEEN(X, a)   \
    SIXTEEN(X, b) SIXTEEN(X, c) SIXTEEN(X, d) SIXTEEN(X, e) SIXTEEN(X, f)

#define HANDLER(N)                                                                \
    static mt_status handler_##N(void *self, mt_call *c)                          \
    {                                                                             \
        return mti_visit_handler(self, c, MTI_ENTER_HANDLER << 24 | 0x##N, NULL, NULL, false); \
    }
#define HOOK(N)                                                                       \
    static mt_outcome hook_##N(void *self, mt_call *c, const void *in, mt_patch *out) \
    {                                                                                 \
        return mti_visit_hook(self, c, 0x##N, in, out);                               \
    }
ALL_256(HANDLER)
FIRST_64(HOOK)

#define HANDLER_NAME(N) handler_##N,
#define HOOK_NAME(N) hook_##N,
static const mt_handler_fn handler_fns[HANDLERS] = {ALL_256(HANDLER_NAME)};
static const mt_hook_fn hook_fns[HOOKS] = {FIRST_64(HOOK_NAME)};

/* --- the plugin's life: changes of plugins wait for these calls, so none may take for ever --- */

/* A process that was killed as hanging meanwhile never ended it either. */
static mt_status call_within(mti_worker *w, mt_call *c, int64_t ms, const char *what, uint32_t method, const mti_buf *body, mt_slice *out)
{
    int64_t before = c->deadline_us, until = mti_mono_us() + ms * 1000;
    c->deadline_us = before && before < until ? before : until;
    mt_status s = mti_visit_handler(w, c, method << 24, body, out, true);
    c->deadline_us = before;
    if (s == MT_OK || (!w->hung && mti_mono_us() < until - COARSE_US))     /* timers may be a little early */
        return s;
    char code[32];
    snprintf(code, sizeof code, "%s_timeout", what);
    return mti_fail(&c->error, MT_INTERNAL, code, "%s() of plugin %s did not end within %lld ms%s.", what, w->o.slug, (long long)(w->hung ? w->o.hang_ms : ms),
                    w->hung ? ", in which its process answered nothing (worker.hang_timeout)" : "");
}

mt_status mti_worker_activate(mti_worker *w, mt_call *c)
{
    mti_buf body;
    mti_buf_init(&body, 64);
    mti_put_u64(&body, w->o.configuration ? w->o.configuration(w->o.ctx) : 0);
    mt_status s = call_within(w, c, w->o.activate_ms, "activate", MTI_ENTER_ACTIVATE, &body, NULL);
    mti_buf_dispose(&body);
    return s;
}

/* Its process may be on the way, the first one or the next. */
static mt_status on_activate(void *self, mt_call *c)
{
    mti_worker *w = self;
    while (w->stop || atomic_load(&w->state) != MTI_WORKER_RUNNING)
        if (w->stop || mti_wait(&w->changed, START_MS) != MT_OK)
            return mti_fail(&c->error, MT_UNAVAILABLE, "worker_starting", "The process of plugin %s is starting: try again shortly.", w->o.slug);
    MT_TRY(mti_worker_activate(w, c));
    w->active = true;
    atomic_store(&w->ready, true);
    return MT_OK;
}

static void on_deactivate(void *self, mt_call *c)
{
    mti_worker *w = self;
    w->active = false;
    if (atomic_load(&w->state) != MTI_WORKER_RUNNING)
        mti_visit_lose(&w->lanes[0]);        /* a process that is only being activated: another takes its place, and stays inactive */
    else if (call_within(w, c, w->o.key ? w->o.activate_ms : w->o.hang_ms, "deactivate", MTI_ENTER_DEACTIVATE, NULL, NULL) != MT_OK)
        mti_log(MTI_LOG_WARN, "worker.not_deactivated", "plugin=%s code=%s detail=%s", w->o.slug, c->error.code, c->error.detail);
    atomic_store(&w->ready, false);
}

static mt_status on_hand_over(void *self, mt_call *c, mt_slice *state)
{
    mti_worker *w = self;
    return call_within(w, c, w->o.activate_ms, "hand_over", MTI_ENTER_HAND_OVER, NULL, state);
}

static mt_status on_take_over(void *self, mt_call *c, mt_slice from, mt_slice state)
{
    mti_worker *w = self;
    mti_buf body;
    mti_buf_init(&body, MTI_FRAME_MAX);
    mti_put_slice(&body, from);
    mti_put_slice(&body, state);
    mt_status s = body.status == MT_OK ? call_within(w, c, w->o.activate_ms, "take_over", MTI_ENTER_TAKE_OVER, &body, NULL)
                                       : mti_fail(&c->error, MT_TOO_LARGE, "too_large", "The state that is handed over does not fit in one frame to a worker.");
    mti_buf_dispose(&body);
    return s;
}

static const char *take_name(mti_worker *w, mti_unpack *in)
{
    mt_slice s = mti_take_slice(in);
    return mti_arena_strndup(&w->arena, s.p ? s.p : "", s.len < 128 ? s.len : 127);
}

static uint32_t take_count(mti_unpack *in, uint32_t most)
{
    uint32_t n = mti_take_u32(in);
    in->bad |= n > most;
    return in->bad ? 0 : n;
}

static const void *provider_table(const char *id)
{
    for (unsigned i = 0; i < mti_asked_count; i++)
        if (!strcmp(mti_asked_interfaces[i].id, id))
            return mti_asked_interfaces[i].provider;
    return NULL;
}

mt_status mti_worker_read_entry(mti_worker *w, mti_error *e)
{
    mti_unpack in = {.p = w->hello.p, .end = w->hello.p + w->hello.len};
    mt_plugin *t = &w->entry;
    *t = (mt_plugin){.abi = MT_ABI, .size = sizeof *t, .slug = w->o.slug, .version = w->o.version, .activate = on_activate, .deactivate = on_deactivate};
    t->n_handlers = take_count(&in, HANDLERS);
    w->handlers = mti_arena_alloc(&w->arena, HANDLERS * sizeof *w->handlers);
    for (uint32_t i = 0; i < t->n_handlers; i++)
        w->handlers[i] = (mt_handler_entry){take_name(w, &in), handler_fns[i]};
    t->n_hooks = take_count(&in, HOOKS);
    w->hooks = mti_arena_alloc(&w->arena, HOOKS * sizeof *w->hooks);
    for (uint32_t i = 0; i < t->n_hooks; i++)
        w->hooks[i] = (mt_hook_entry){take_name(w, &in), hook_fns[i]};
    uint32_t n = take_count(&in, SERVICES);
    w->services = mti_arena_alloc(&w->arena, SERVICES * sizeof *w->services);
    for (uint32_t i = 0; i < n; i++) {
        mt_service_entry s = {take_name(w, &in), NULL};
        s.table = provider_table(s.id);
        if (s.table)
            w->services[t->n_services++] = s;
    }
    t->hand_over = mti_take_bool(&in) ? on_hand_over : NULL;
    t->take_over = mti_take_bool(&in) ? on_take_over : NULL;
    t->handlers = w->handlers;
    t->hooks = w->hooks;
    t->services = w->services;
    return mti_unpacked(&in) ? MT_OK : mti_fail(e, MT_INVALID, "plugin_invalid", "plugin %s: its entry table is longer than a worker's may be: %d handlers, %d hooks, %d services", w->o.slug, HANDLERS, HOOKS, SERVICES);
}

bool mti_worker_same_entry(const mti_worker *w)
{
    mti_unpack in = {.p = w->hello.p, .end = w->hello.p + w->hello.len};
    bool same = mti_take_u32(&in) == w->entry.n_handlers;
    for (uint32_t i = 0; same && i < w->entry.n_handlers; i++)
        same = mt_slice_eq(mti_take_slice(&in), mt_str(w->handlers[i].name));
    same = same && mti_take_u32(&in) == w->entry.n_hooks;
    for (uint32_t i = 0; same && i < w->entry.n_hooks; i++)
        same = mt_slice_eq(mti_take_slice(&in), mt_str(w->hooks[i].name));
    return same;
}
