/* A worker's life: made with its process, kept by a fiber of loop 0 that pings it and starts another when it is gone. */
#include "worker/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "worker/impl.h"
#include "worker/local.h"

enum { PING_MS = 1000, FIRST_DELAY_MS = 50, MAX_DELAY_MS = 1000, HEALTHY_US = 10000000 };

/* --- something on every loop, waited for by the keeper --- */

typedef struct errand {
    mti_worker_lane *lane;
    struct errands *all;
} errand;

typedef struct errands {
    _Atomic(unsigned) left;
    mti_fiber *waiting;
    mti_loop *home;
    void (*fn)(mti_worker_lane *l);
    errand list[MTI_WORKER_LOOPS];
} errands;

static void on_back(void *arg)
{
    mti_fiber_resume(((errands *)arg)->waiting, MT_OK);
}

static void on_loop(void *arg)
{
    errand *e = arg;
    errands *all = e->all;
    all->fn(e->lane);
    if (atomic_fetch_sub(&all->left, 1) == 1)
        mti_loop_post(all->home, on_back, all);
}

static void on_every_loop(mti_worker *w, void (*fn)(mti_worker_lane *l))
{
    errands all = {.left = w->o.n_loops, .waiting = mti_fiber_current(), .home = w->o.loops[0], .fn = fn};
    mti_fiber_shield(true);
    for (unsigned i = 0; i < w->o.n_loops; i++) {
        all.list[i] = (errand){&w->lanes[i], &all};
        mti_loop_post(w->o.loops[i], on_loop, &all.list[i]);
    }
    mti_fiber_suspend();
    mti_fiber_shield(false);
}

/* --- lanes --- */

static void note_end(void *arg)
{
    mti_worker *w = arg;
    w->ended = true;
    mti_wake_all(&w->changed);
}

/* The process is gone, or closed a channel, which it may not. The keeper hears it before it can hear that the lane is closed. */
static void on_end(void *ctx)
{
    mti_worker_lane *l = ctx;
    mti_visit_lose(l);
    mti_loop_post(l->w->o.loops[0], note_end, l->w);
}

static void open_lane(mti_worker_lane *l)
{
    unsigned i = (unsigned)(l - l->w->lanes);
    l->ch = (mti_channel){.on_frame = mti_visit_frame, .on_end = on_end, .ctx = l};
    mti_channel_open(&l->ch, l->loop, l->w->fds[i]);
    l->open = true;
}

static void close_lane(mti_worker_lane *l)
{
    l->open = false;
    mti_visit_lose(l);
    if (l->pause)
        mti_timer_cancel(l->pause);
    l->pause = NULL;
    l->held = 0;
    mti_channel_close(&l->ch);
}

/* --- the keeper --- */

/* Until it is gone, hangs, or is to stop. */
static void watch(mti_worker *w)
{
    int64_t period = w->o.hang_ms / 4 < PING_MS ? w->o.hang_ms / 4 : PING_MS;
    w->ended = false;
    w->pings = 0;
    w->pong_us = mti_mono_us();
    while (!w->ended && !w->stop) {
        if (mti_wait(&w->changed, period) == MT_OK)
            continue;
        if (mti_mono_us() - w->pong_us > w->o.hang_ms * 1000) {
            w->hung = true;
            mti_worker_kill(w, "it hangs");
            return;
        }
        w->pings++;
        mti_channel_send(&w->lanes[0].ch, &(mti_frame){.kind = MTI_FRAME_PING}, NULL);
    }
}

typedef struct task {
    mti_worker *w;
    mti_error error;
    mt_status status;
} task;

static void reap(void *arg)
{
    mti_worker_reap(((task *)arg)->w);
}

static void spawn(void *arg)
{
    task *t = arg;
    t->status = mti_worker_spawn(t->w, &t->error);
}

static void end_process(mti_worker *w)
{
    task t = {.w = w};
    atomic_store(&w->ready, false);
    mti_worker_leave(w);     /* not reaped before its lanes are closed, so it is this one */
    on_every_loop(w, close_lane);
    mti_fiber_shield(true);
    mti_offload_run(w->o.offload, 0, reap, &t);
    mti_fiber_shield(false);
}

/* The new process knows nothing of what its predecessor set up. */
static mt_status activate_again(mti_worker *w)
{
    mt_call c;
    mti_call_init(&c, w->o.loops[0]);
    c.host = w->o.host;
    c.operation = "worker.restart";
    c.request_id = mti_uuid_v7();
    c.who.platform = true;
    c.plugin = w->o.slot;
    mti_fiber_set_tag(w->o.slot);
    mt_status s = mti_worker_activate(w, &c);
    mti_fiber_set_tag(0);
    if (s == MT_OK && w->active)
        atomic_store(&w->ready, true);
    else if (s == MT_OK)
        s = MT_CANCELLED;    /* deactivated meanwhile, which this process was not */
    else
        mti_log(MTI_LOG_WARN, "worker.not_activated", "plugin=%s code=%s detail=%s", w->o.slug, c.error.code, c.error.detail);
    mti_call_dispose(&c);
    return s;
}

/* false: it is to stop. */
static bool start_again(mti_worker *w, int64_t *delay_ms)
{
    atomic_store(&w->state, MTI_WORKER_RESTARTING);
    while (!w->stop) {
        task t = {.w = w};
        mti_wait(&w->changed, *delay_ms);
        *delay_ms = *delay_ms * 2 < MAX_DELAY_MS ? *delay_ms * 2 : MAX_DELAY_MS;
        if (w->stop)
            break;
        mti_fiber_shield(true);
        mt_status s = mti_offload_run(w->o.offload, 0, spawn, &t);
        mti_fiber_shield(false);
        if (s == MT_OK)
            s = t.status;
        if (s == MT_OK && mti_worker_same_entry(w)) {
            atomic_fetch_add(&w->restarts, 1);
            return true;
        }
        mti_log(MTI_LOG_WARN, "worker.not_restarted", "plugin=%s reason=%s", w->o.slug, s == MT_OK ? "its entry table is another now" : t.error.detail);
    }
    return false;
}

static void keep(void *arg)
{
    mti_worker *w = arg;
    int64_t delay_ms = FIRST_DELAY_MS;
    bool first = true;
    do {
        int64_t since = mti_mono_us();
        w->hung = false;
        on_every_loop(w, open_lane);
        bool up = first || w->stop || !w->active || activate_again(w) == MT_OK;
        if (up) {
            atomic_store(&w->state, MTI_WORKER_RUNNING);
            mti_wake_all(&w->changed);
            watch(w);
        }
        end_process(w);
        first = false;
        if (up && mti_mono_us() - since > HEALTHY_US)
            delay_ms = FIRST_DELAY_MS;
    } while (start_again(w, &delay_ms));
    atomic_store(&w->state, MTI_WORKER_STOPPED);
    w->kept = false;
    mti_wake_all(&w->changed);
}

static void start_keeper(void *arg)
{
    mti_worker *w = arg;
    w->kept = mti_fiber_spawn(w->o.loops[0], keep, w) == MT_OK;
}

/* --- from outside --- */

static void copy_options(mti_worker *w, const mti_worker_options *o)
{
    const char **texts[] = {&w->o.slug, &w->o.version, &w->o.dir, &w->o.file, &w->o.symbol, &w->o.key};
    w->o = *o;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*texts[i])
            *texts[i] = mti_arena_strndup(&w->arena, *texts[i], strlen(*texts[i]));
    mti_worker_path *paths = mti_arena_alloc(&w->arena, (o->n_paths + 1) * sizeof *paths);
    for (size_t i = 0; i < o->n_paths; i++)
        paths[i] = (mti_worker_path){mti_arena_strndup(&w->arena, o->paths[i].path, strlen(o->paths[i].path)), o->paths[i].writes};
    w->o.paths = paths;
    for (unsigned i = 0; i < o->n_loops; i++)
        w->lanes[i] = (mti_worker_lane){.w = w, .loop = o->loops[i]};
}

static mt_status first_process(mti_worker *w, mti_error *e)
{
    task t = {.w = w};
    if (!mti_fiber_current())
        spawn(&t);
    else if (mti_offload_run(w->o.offload, 0, spawn, &t) != MT_OK)
        t.status = mti_fail(&t.error, MT_LIMITED, "worker_not_started", "plugin %s: its worker could not be started now", w->o.slug);
    if (t.status != MT_OK)
        *e = t.error;
    return t.status;
}

mt_status mti_worker_create(const mti_worker_options *o, mti_worker **out, const mt_plugin **entry, mti_error *e)
{
    mti_worker *w = calloc(1, sizeof *w);
    if (!w || !o->n_loops || o->n_loops > MTI_WORKER_LOOPS) {
        free(w);
        return mti_fail(e, MT_NO_MEMORY, "no_memory", "plugin %s: there is no memory for a worker", o->slug);
    }
    mti_arena_init(&w->arena, 1 << 20);
    mti_buf_init(&w->hello, 1 << 20);
    copy_options(w, o);
    mt_status s = first_process(w, e);
    if (s == MT_OK && (s = mti_worker_read_entry(w, e)) != MT_OK) {
        mti_worker_leave(w);
        mti_worker_reap(w);
    }
    if (s != MT_OK) {
        mti_worker_destroy(w);
        return s;
    }
    *out = w;
    *entry = &w->entry;
    mti_loop_post(o->loops[0], start_keeper, w);
    return MT_OK;
}

void mti_worker_stop(mti_worker *w)
{
    w->stop = true;
    mti_visit_lose(&w->lanes[0]);            /* what the keeper waits for */
    mti_wake_all(&w->changed);
    if (!mti_fiber_current())
        return;              /* the loops do not run yet: its keeper will end it first of all */
    mti_fiber_shield(true);
    while (w->kept)
        mti_wait(&w->changed, -1);
    mti_fiber_shield(false);
}

void mti_worker_destroy(mti_worker *w)
{
    if (!w)
        return;
    mti_buf_dispose(&w->hello);
    mti_arena_dispose(&w->arena);
    free(w);
}

mti_worker_state mti_worker_look(const mti_worker *w)
{
    static const char *const names[] = {"starting", "running", "restarting", "stopped"};
    return (mti_worker_state){names[atomic_load(&w->state)], atomic_load(&w->pid), atomic_load(&w->restarts), atomic_load(&w->activations), w->o.key != NULL};
}

/* --- what can run in one --- */

static const mti_asked *asked(const char *id)
{
    for (unsigned i = 0; i < mti_asked_count; i++)
        if (!strcmp(mti_asked_interfaces[i].id, id))
            return &mti_asked_interfaces[i];
    return NULL;
}

void mti_worker_obstacle(const mti_worker_needs *n, char *why, size_t size)
{
    why[0] = 0;
    for (size_t i = 0; i < n->n_provides && !why[0]; i++) {
        const mti_asked *a = asked(n->provides[i]);
        if (!a || !a->provider)
            snprintf(why, size, "it provides %s, which cannot be served from a worker", n->provides[i]);
    }
    for (size_t i = 0; i < n->n_interfaces && !why[0]; i++)
        if (!asked(n->interfaces[i]))
            snprintf(why, size, "it needs %s, which is not given in a worker", n->interfaces[i]);
    for (size_t i = 0; i < n->n_hooks && !why[0]; i++) {
        int hook = mti_hook_find(mt_str(n->hooks[i]));
        if (hook >= 0 && !mti_hook_catalogue[hook].suspends)
            snprintf(why, size, "it stands on %s, whose handlers may not wait", n->hooks[i]);
    }
}
