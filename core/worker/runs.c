/* Calls of the host inside the plugin: a fiber each. */
#include <stdlib.h>

#include "base/ident.h"
#include "worker/process.h"
#include "worker/serve.h"

enum { EMPTY_US = 5000000 };

/* --- asking the host --- */

static mt_status host_gone(mti_run *r)
{
    if (!mti_this.engine)
        exit(0);
    return mti_fail(&r->c.error, MT_UNAVAILABLE, "host_gone", "The host that asked is gone.");
}

mt_status mti_run_ask(mti_run *r, uint32_t method, const mti_buf *out, char **answer, size_t *len)
{
    mti_frame f = {.len = (uint32_t)out->len, .kind = MTI_FRAME_ASK, .method = method, .call = r->id};
    if (!mti_fiber_current())
        return mti_fail(&r->c.error, MT_UNSUPPORTED, "no_fiber", "The host is asked from a call's own fiber only.");
    if (r->lane->link->lost || mti_channel_send(&r->lane->ch, &f, out->p) != MT_OK)
        return host_gone(r);
    /* The host answers always, a cancelled call with MT_CANCELLED: one question at a time. */
    mti_channel_expect(&r->lane->ch);
    mti_fiber_shield(true);
    while (!r->answer && !r->lane->link->lost)
        mti_wait(&r->answered, -1);
    mti_fiber_shield(false);
    if (!r->answer)
        return host_gone(r);
    *answer = r->answer;
    *len = r->answer_len;
    r->answer = NULL;
    return MT_OK;
}

static mt_status ask(mti_ask *a, char **answer, size_t *len)
{
    return mti_run_ask(mti_run_of(a->c), a->method, &a->out, answer, len);
}

void mti_ask_host(mti_ask *a, mt_call *c, uint32_t method)
{
    *a = (mti_ask){.ask = ask, .kept = &mti_run_of(c)->kept, .c = c, .method = method};
    mti_buf_init(&a->out, MTI_FRAME_MAX);
}

/* --- the plugin's functions --- */

static void put_failure(mt_call *c, mti_buf *out)
{
    mti_put_bool(out, c->error.code[0] != 0);
    if (c->error.code[0])
        mti_put_error(out, &c->error);
}

static void put_status(mt_call *c, mti_buf *out, mt_status s)
{
    mti_put_u32(out, s);
    if (s != MT_OK && s != MT_DONE)
        put_failure(c, out);
}

/* The host is this very program and sends only what fits: what does not is its fault, and ends the worker. */
static void run_hook(mti_run *r, mti_unpack *in, mti_buf *out)
{
    uint32_t i = r->method & 0xFFFFFF, hook = mti_take_u32(in);
    char payload[512] __attribute__((aligned(16)));
    mt_patch patch;
    if (i >= mti_this.entry->n_hooks || hook >= mti_hook_count || mti_hook_catalogue[hook].size > sizeof payload)
        abort();
    r->hook = &mti_hook_catalogue[hook];
    mti_take_payload(in, r->hook, payload);
    mti_patch_init(&patch, &r->c, r->hook);
    r->hook_started_us = mti_mono_us();
    mt_outcome o = mti_this.entry->hooks[i].run(mti_this.self, &r->c, payload, &patch);
    mti_put_u32(out, o);
    put_failure(&r->c, out);
    mti_put_patch(out, &patch);
}

static void run_handler(mti_run *r, mti_buf *out)
{
    uint32_t i = r->method & 0xFFFFFF;
    if (i >= mti_this.entry->n_handlers)
        abort();
    put_status(&r->c, out, mti_this.entry->handlers[i].run(mti_this.self, &r->c));
}

static const void *provider(const char *id)
{
    for (uint32_t i = 0; i < mti_this.entry->n_services; i++)
        if (!strcmp(mti_this.entry->services[i].id, id))
            return mti_this.entry->services[i].table;
    return NULL;
}

static void run_service(mti_run *r, mti_unpack *in, mti_buf *out)
{
    uint32_t method = r->method & 0xFFFFFF;
    if (method >> 6 >= mti_served_count)
        abort();
    mti_serving s = {.in = *in, .out = *out, .c = &r->c, .provides = true, .self = mti_this.self,
                     .table = provider(mti_served_interfaces[method >> 6].id)};
    mti_serve(&s, method);
    if (s.broken)
        abort();
    *out = s.out;
}

/* --- active, for whom --- */

static bool needed_by_another(const mti_link *me)
{
    for (const mti_link *l = mti_this.links; l; l = l->next)
        if (l != me && (l->active || l->n_inside))
            return true;
    return false;
}

static bool somebody_inside(void)
{
    for (const mti_link *l = mti_this.links; l; l = l->next)
        if (l->n_inside)
            return true;
    return false;
}

static void enter(mti_run *r)
{
    const uint32_t how = r->method >> 24;
    if (r->inside || how == MTI_ENTER_ACTIVATE || how == MTI_ENTER_DEACTIVATE)
        return;
    mti_fiber_shield(true);
    while (mti_this.changing)
        mti_wait(&mti_this.activated, -1);
    mti_fiber_shield(false);
    r->inside = true;
    r->lane->link->n_inside++;
}

static void leave(mti_run *r)
{
    if (r->inside && !--r->lane->link->n_inside)
        mti_wake_all(&mti_this.left);
    r->inside = false;
}

static void end_activity(mti_run *r)
{
    mti_this.active = false;
    if (mti_this.entry->deactivate)
        mti_this.entry->deactivate(mti_this.self, &r->c);
}

/* What other hosts asked for comes to its end first, and what they ask for meanwhile waits; not for ever, for one may wait for the other. */
static mt_status end_other_activity(mti_run *r)
{
    int64_t until = mti_mono_us() + EMPTY_US, left;
    mt_status s = MT_OK;
    mti_this.changing = true;
    while (s == MT_OK && somebody_inside())
        s = (left = until - mti_mono_us()) > 0 ? mti_wait(&mti_this.left, left / 1000 + 1) : MT_TIMEOUT;
    if (s != MT_OK)
        return mti_fail(&r->c.error, MT_UNAVAILABLE, "engine_busy", "The engine has another configuration and calls inside: it is changed when they have ended.");
    end_activity(r);
    return MT_OK;
}

static mt_status begin_activity(mti_run *r, uint64_t configuration)
{
    const mt_plugin *t = mti_this.entry;
    mti_this.activations++;
    mt_status s = t->activate ? t->activate(mti_this.self, &r->c) : MT_OK;
    mti_this.active = s == MT_OK;
    mti_this.configuration = configuration;
    if (s != MT_OK)
        mti_links_lose_others(r->lane->link);
    return s;
}

/* An engine that is active so already has in memory what this host would load, and is left as it is. */
static mt_status activate(mti_run *r, uint64_t configuration)
{
    mt_status s = MT_OK;
    while (mti_this.activating)
        MT_TRY(mti_wait(&mti_this.activated, -1));
    mti_this.activating = true;
    if (mti_this.engine && mti_this.active && mti_this.configuration != configuration)
        s = end_other_activity(r);
    if (s == MT_OK && (!mti_this.engine || !mti_this.active))
        s = begin_activity(r, configuration);
    r->lane->link->active = s == MT_OK;
    mti_this.activating = mti_this.changing = false;
    mti_wake_all(&mti_this.activated);
    return s;
}

static void deactivate(mti_run *r)
{
    r->lane->link->active = false;
    if (mti_this.active && !needed_by_another(r->lane->link))
        end_activity(r);
}

/* The host asks only for what HELLO told. */
static void hand_over(mti_run *r, mti_buf *out)
{
    mt_slice state = {0};
    mt_status s = mti_this.entry->hand_over(mti_this.self, &r->c, &state);
    put_status(&r->c, out, s);
    if (s == MT_OK)
        mti_put_slice(out, state);
}

static void take_over(mti_run *r, mti_unpack *in, mti_buf *out)
{
    mt_slice from = mti_take_slice(in), state = mti_take_slice(in);
    put_status(&r->c, out, mti_this.entry->take_over(mti_this.self, &r->c, from, state));
}

static void run_once(mti_run *r, mti_unpack *in, mti_buf *out)
{
    int64_t left_ms = mti_take_i64(in);
    r->owner = mti_take_u64(in);
    r->c.deadline_us = left_ms < 0 ? 0 : mti_mono_us() + left_ms * 1000;
    switch (r->method >> 24) {
    case MTI_ENTER_HANDLER: run_handler(r, out); return;
    case MTI_ENTER_HOOK: run_hook(r, in, out); return;
    case MTI_ENTER_SERVICE: run_service(r, in, out); return;
    case MTI_ENTER_ACTIVATE: put_status(&r->c, out, activate(r, mti_take_u64(in))); return;
    case MTI_ENTER_DEACTIVATE:
        deactivate(r);
        put_status(&r->c, out, MT_OK);
        return;
    case MTI_ENTER_HAND_OVER: hand_over(r, out); return;
    case MTI_ENTER_TAKE_OVER: take_over(r, in, out); return;
    default: abort();
    }
}

/* --- their life --- */

/* What was deferred runs now, and may still ask the host. */
static void run_dispose(mti_run *r)
{
    mti_kept_free(r->kept);
    r->kept = NULL;
    r->columns = NULL;
    mti_call_dispose(&r->c);
}

static void run_free(mti_run *r)
{
    mti_link *l = r->lane->link;
    leave(r);
    r->lane->runs[r->id % MTI_WORKER_CALLS] = NULL;
    free(r->payload);
    free(r->answer);
    free(r);
    mti_link_leave_run(l);
}

static void run_end(mti_run *r)
{
    run_dispose(r);
    run_free(r);
}

void mti_run_lose(mti_run *r)
{
    r->ended = true;
    if (!r->busy) {
        run_end(r);
        return;
    }
    mti_wake_all(&r->answered);
    if (r->c.fiber)
        mti_fiber_cancel(r->c.fiber);
}

/* It does not fit in a frame, or there is no memory for it. */
static void send_done(mti_run *r, mti_buf *out)
{
    if (out->status != MT_OK) {
        mti_buf_clear(out);
        mti_fail(&r->c.error, MT_TOO_LARGE, "too_large", "The answer does not fit in one frame from a worker.");
        put_status(&r->c, out, MT_TOO_LARGE);
    }
    mti_frame f = {.len = (uint32_t)out->len, .kind = MTI_FRAME_DONE, .call = r->id};
    mti_channel_send(&r->lane->ch, &f, out->p);
}

static void run_fiber(void *arg)
{
    mti_run *r = arg;
    mti_buf out;
    mti_unpack in = {.p = r->payload, .end = r->payload + r->len, .arena = &r->c.arena};
    mti_buf_init(&out, MTI_FRAME_MAX);
    r->c.fiber = mti_fiber_current();
    memset(&r->c.error, 0, sizeof r->c.error);
    enter(r);
    if (!r->lane->link->lost)
        run_once(r, &in, &out);
    bool once = r->method >> 24 != MTI_ENTER_SERVICE;
    if (once)
        run_dispose(r);
    send_done(r, &out);
    mti_buf_dispose(&out);
    r->busy = false;
    r->c.fiber = NULL;
    if (once) {
        run_free(r);
    } else if (r->ended) {
        run_end(r);
    }
}

static mti_run *run_create(mti_lane *l, uint32_t id)
{
    mti_run *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    mti_call_init(&r->c, mti_this.loop);
    r->lane = l;
    l->link->n_runs++;
    r->id = id;
    l->runs[id % MTI_WORKER_CALLS] = r;
    return r;
}

static char *copy(const char *p, size_t n)
{
    char *to = malloc(n + 1);
    if (!to)
        abort();
    memcpy(to, p, n);
    return to;
}

static bool begin(mti_lane *l, mti_run *r, const mti_frame *f, const char *payload)
{
    if (!r)
        r = run_create(l, f->call);
    else if (r->id != f->call || r->busy)
        return false;
    free(r->payload);
    r->payload = copy(payload, f->len);
    r->len = f->len;
    r->method = f->method;
    r->busy = true;
    return mti_fiber_spawn(mti_this.loop, run_fiber, r) == MT_OK;
}

bool mti_run_frame(void *lane, const mti_frame *f, const char *payload)
{
    mti_lane *l = lane;
    mti_run *r = l->runs[f->call % MTI_WORKER_CALLS], *its = r && r->id == f->call ? r : NULL;
    switch (f->kind) {
    case MTI_FRAME_START: return mti_link_start(l);
    case MTI_FRAME_CALL: return l->link->started && begin(l, r, f, payload);
    case MTI_FRAME_CANCEL:
        if (its && its->busy && its->c.fiber)
            mti_fiber_cancel(its->c.fiber);
        return true;
    case MTI_FRAME_ANSWER:
        if (!its || its->answer)
            return false;
        its->answer = copy(payload, f->len);
        its->answer_len = f->len;
        mti_wake_one(&its->answered);
        return true;
    case MTI_FRAME_END:
        if (its && its->busy)
            its->ended = true;
        else if (its)
            run_end(its);
        return true;
    case MTI_FRAME_PING: return mti_channel_send(&l->ch, &(mti_frame){.kind = MTI_FRAME_PONG, .method = mti_this.activations}, NULL) == MT_OK;
    default: return false;
    }
}
