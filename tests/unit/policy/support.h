/* An engine on one loop, a call on it, and running a policy's text in a fiber. */
#ifndef TEST_POLICY_SUPPORT_H
#define TEST_POLICY_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <mortise/hooks.h>

#include "base/log.h"
#include "bus/patch.h"
#include "policy/policy.h"

/* How much longer things take here than in a plain build. */
static inline int slower(void)
{
    const char *preload = getenv("LD_PRELOAD");
    if (preload && strstr(preload, "valgrind"))
        return 100;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 20;
#else
    return 1;
#endif
}

typedef struct world {
    mti_loop *loop;
    mti_policies *engine;
    mt_call call;
    mt_chat_prepare chat;
    mt_patch patch;
    mti_error error;             /* of compile */
    const mti_policy *running;
    mt_outcome outcome;
    int64_t cpu_us;
} world;

static inline int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    w->loop = mti_loop_create(0);
    w->engine = mti_policies_create(&(mti_policy_limits){.cpu_us = 5000 * slower()}, &w->loop, 1);
    mti_call_init(&w->call, w->loop);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    world *w = *state;
    mti_call_dispose(&w->call);
    mti_policies_destroy(w->engine);
    mti_loop_destroy(w->loop);
    free(w);
    return 0;
}

static inline void on_fiber(void *arg)
{
    world *w = arg;
    int64_t from = mti_thread_cpu_ns();
    w->outcome = mti_policy_run((void *)w->running, &w->call, &w->chat, &w->patch);
    w->cpu_us = (mti_thread_cpu_ns() - from) / 1000;
}

static inline mt_outcome run_policy(world *w, const mti_policy *p)
{
    w->chat.size = sizeof w->chat;
    w->call.error = (mti_error){0};
    w->running = p;
    mti_patch_init(&w->patch, &w->call, &mti_hook_catalogue[mti_policy_hook(p)]);
    assert_int_equal(mti_fiber_spawn(w->loop, on_fiber, w), MT_OK);
    return w->outcome;
}

static inline mti_policy *compile(world *w, const char *text)
{
    mti_policy *p;
    mti_policy_compile(w->engine, "test", mt_str(text), &p, &w->error);
    if (!p)
        fail_msg("%s: %s", w->error.code, w->error.detail);
    return p;
}

/* Compiles, runs once for org (nil: as the platform's) and releases. */
static inline mt_outcome run_text(world *w, mti_uuid org, const char *text)
{
    mti_policy *p = compile(w, text);
    mti_policy_set_org(p, org);
    mt_outcome outcome = run_policy(w, p);
    mti_policy_release(p);
    return outcome;
}

#define CHAT "-- hook: chat.prepare\n"
#define NOBODY ((mti_uuid){{0}})

#endif
