/* A bus on one loop that the test steps by hand, and a call on it. */
#ifndef TEST_BUS_SUPPORT_H
#define TEST_BUS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <mortise/hooks.h>

#include "base/log.h"
#include "bus/bus.h"
#include "loop/loop.h"
#include "telemetry/trace.h"

typedef struct world {
    mti_loop *loop;
    mti_bus *bus;
    mt_call call;
} world;

static inline int setup(void **state)
{
    world *w = test_calloc(1, sizeof *w);
    mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    w->loop = mti_loop_create(0);
    w->bus = mti_bus_create(&w->loop, 1);
    mti_call_init(&w->call, w->loop);
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    world *w = *state;
    mti_call_dispose(&w->call);
    mti_bus_destroy(w->bus);
    mti_trace_dispose(w->loop);
    mti_loop_destroy(w->loop);
    test_free(w);
    return 0;
}

static inline void stand(world *w, int hook, int priority, mt_hook_fn run, void *self)
{
    mti_bus_add(w->bus, &(mti_bus_handler){.owner = 7,
                                           .hook = hook,
                                           .priority = priority,
                                           .run = run,
                                           .self = self,
                                           .label = "test.handler"});
}

#endif
