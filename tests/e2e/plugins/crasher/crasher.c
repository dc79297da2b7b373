/* What a broken plugin does to its host. */
#include <mortise/entry.h>

#include <stdlib.h>
#include <time.h>

static volatile int *nowhere;

static mt_status on_null(void *self, mt_call *c)
{
    return *nowhere ? MT_OK : MT_INTERNAL;
}

static __attribute__((noinline)) int deeper(volatile char *above, int depth)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return depth < 0 ? 0 : deeper(frame, depth + 1) + frame[0];
}

static mt_status on_overflow(void *self, mt_call *c)
{
    volatile char first[16] = "x";
    return deeper(first, 0) ? MT_OK : MT_INTERNAL;
}

static mt_status on_abort(void *self, mt_call *c)
{
    abort();
}

static mt_status on_exit_(void *self, mt_call *c)
{
    _Exit(3);
}

static void read_nowhere(void *arg)
{
    *(int *)arg = *nowhere;
}

static mt_status on_pool(void *self, mt_call *c)
{
    int value = 0;
    return mt_offload_run(c, read_nowhere, &value);
}

static mt_status on_stall(void *self, mt_call *c)
{
    struct timespec from, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < 300);
    return mt_respond(c, 204, (mt_slice){0});
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_null", on_null}, {"on_overflow", on_overflow}, {"on_abort", on_abort},
                                            {"on_exit", on_exit_}, {"on_pool", on_pool},         {"on_stall", on_stall}};

MT_EXPORT const mt_plugin crasher_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "crasher", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 6};
