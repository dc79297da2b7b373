/* thread/1: signals between a plugin's own threads and its calls. */
#include "loop/signal.h"
#include "plugin/api.h"
#include "plugin/host.h"

static void destroy(void *signal)
{
    mti_signal_destroy((uint64_t)(uintptr_t)signal);
}

static mt_status thread_signal(mt_call *c, mt_handle *signal)
{
    if (mti_signal_create(c->loop, signal) != MT_OK)
        return mti_fail(&c->error, MT_LIMITED, "too_many_signals", "Too many calls wait for threads: try again shortly.");
    mti_arena_defer(&c->arena, destroy, (void *)(uintptr_t)*signal);
    return MT_OK;
}

static mt_status thread_wait(mt_call *c, mt_handle signal, int64_t timeout_ms)
{
    return mti_signal_wait(signal, timeout_ms);
}

static mt_status thread_raise(mt_handle signal)
{
    mti_signal_raise(signal);
    return MT_OK;
}

const mt_thread_1 mti_api_thread = {.size = sizeof mti_api_thread, .version = 1, .signal = thread_signal, .wait = thread_wait, .raise = thread_raise};
