/* What tracing adds to a request: one JSON line a figure, {name, value, unit}. The best of several rounds. */
#include <stdio.h>

#include "telemetry/trace.h"

enum { ROUNDS = 15, TIMES = 100000, STAGES = 6, SPANS = 8 };

static const char traceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/* The calls that a request with six stages and eight spans makes. bare: no more than every request needs, traced or not: its ids. */
static void one(mti_loop *l, bool bare)
{
    mt_call c;
    mti_call_init(&c, l);
    c.operation = "bench.one";
    mti_trace_begin(&c, mt_str(traceparent), false);
    for (int i = 0; i < STAGES + SPANS && !bare; i++) {
        uint64_t from = mti_trace_now(&c);
        if (c.trace)
            mti_trace_span(&c, i < STAGES ? MTI_TRACE_STAGE : MTI_TRACE_DB, i % 2 ? "one" : "two", "bench", from, mti_ticks(), NULL, NULL);
    }
    if (!bare)
        mti_trace_end(&c, 200);
    mti_call_dispose(&c);
}

static double least_ns(mti_loop *l, unsigned every, bool bare)
{
    double best = 1e18;
    mti_trace_setup(&(mti_trace_options){.every = every, .slow_us = 1000000});
    for (int round = 0; round < ROUNDS; round++) {
        int64_t from = mti_thread_cpu_ns();
        for (int i = 0; i < TIMES; i++)
            one(l, bare);
        double ns = (double)(mti_thread_cpu_ns() - from) / TIMES;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(void)
{
    mti_loop *l = mti_loop_create(0);
    printf("{\"name\":\"trace.none\",\"value\":%.1f,\"unit\":\"ns\"}\n", least_ns(l, 0, true));
    printf("{\"name\":\"trace.off\",\"value\":%.1f,\"unit\":\"ns\"}\n", least_ns(l, 0, false));
    printf("{\"name\":\"trace.on\",\"value\":%.1f,\"unit\":\"ns\"}\n", least_ns(l, 1, false));
    mti_trace_dispose(l);
    mti_loop_destroy(l);
}
