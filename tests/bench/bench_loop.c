/* Costs of the loop's basic moves, as JSON lines {name, value, unit}: bench_loop [iterations]. */
#include <stdio.h>
#include <stdlib.h>

#include "base/ident.h"
#include "loop/offload.h"

static long iterations = 1000000;
static mti_fiber *switcher;

static void print(const char *name, int64_t us, long n)
{
    printf("{\"name\":\"%s\",\"value\":%.1f,\"unit\":\"ns\"}\n", name,
           (double)us * 1000 / (double)n);
}

static void nothing(void *arg) {}

static void bench_spawn(mti_loop *l)
{
    int64_t start = mti_mono_us();
    for (long i = 0; i < iterations; i++)
        mti_fiber_spawn(l, nothing, NULL);
    print("loop.spawn", mti_mono_us() - start, iterations);
}

static void suspend_always(void *arg)
{
    switcher = mti_fiber_current();
    while (mti_fiber_suspend() == MT_OK)
        ;
}

/* A whole resume: queue, turn with a look at the descriptors, two switches. */
static void bench_turn(mti_loop *l)
{
    long n = iterations / 10;
    mti_fiber_spawn(l, suspend_always, NULL);
    int64_t start = mti_mono_us();
    for (long i = 0; i < n; i++) {
        mti_fiber_resume(switcher, MT_OK);
        mti_loop_step(l, 0);
    }
    print("loop.turn", mti_mono_us() - start, n);
    mti_fiber_cancel(switcher);
    mti_loop_step(l, 0);
}

typedef struct pair {
    mti_waitlist mine;
    struct pair *peer;
    long left;
} pair;

static void ping(void *arg)
{
    pair *p = arg;
    while (p->left-- > 0) {
        mti_wake_one(&p->peer->mine);
        mti_wait(&p->mine, -1);
    }
    mti_wake_one(&p->peer->mine);
}

/* Two fibers that wake each other: each value is one wake, one queueing and one switch pair. */
static void bench_switch(mti_loop *l)
{
    pair a = {.left = iterations / 2}, b = {.left = iterations / 2, .peer = &a};
    a.peer = &b;
    int64_t start = mti_mono_us();
    mti_fiber_spawn(l, ping, &a);
    mti_fiber_spawn(l, ping, &b);
    while (mti_fiber_live(l))
        mti_loop_step(l, 0);
    print("loop.wake_and_switch", mti_mono_us() - start, iterations);
}

typedef struct resumes {
    mti_fiber *all[100];
    int n;
} resumes;

static void suspend_among(void *arg)
{
    resumes *r = arg;
    r->all[r->n++] = mti_fiber_current();
    while (mti_fiber_suspend() == MT_OK)
        ;
}

/* A hundred fibers resumed a turn, so that the turn's own cost is spread thin: close to the bare
 * switch pair. */
static void bench_switch_pair(mti_loop *l)
{
    static resumes r;
    long rounds = iterations / 100;
    for (int i = 0; i < 100; i++)
        mti_fiber_spawn(l, suspend_among, &r);
    int64_t start = mti_mono_us();
    for (long k = 0; k < rounds; k++) {
        for (int i = 0; i < r.n; i++)
            mti_fiber_resume(r.all[i], MT_OK);
        mti_loop_step(l, 0);
    }
    print("loop.switch_pair", mti_mono_us() - start, rounds * r.n);
    for (int i = 0; i < r.n; i++)
        mti_fiber_cancel(r.all[i]);
    mti_loop_step(l, 0);
}

static void offload_many(void *arg)
{
    for (long i = 0; i < iterations / 20; i++)
        mti_offload_run(arg, 1, nothing, NULL);
}

static void bench_offload(mti_loop *l)
{
    mti_offload *o = mti_offload_create(2);
    int64_t start = mti_mono_us();
    mti_fiber_spawn(l, offload_many, o);
    while (mti_fiber_live(l))
        mti_loop_step(l, 1000);
    print("loop.offload_round_trip", mti_mono_us() - start, iterations / 20);
    mti_offload_destroy(o);
}

static void bench_timers(mti_loop *l)
{
    int64_t start = mti_mono_us();
    for (long i = 0; i < iterations; i++)
        mti_timer_cancel(mti_timer_start(l, 1000, nothing, NULL));
    print("loop.timer_start_cancel", mti_mono_us() - start, iterations);
}

static void bench_posts(mti_loop *l)
{
    int64_t start = mti_mono_us();
    for (long i = 0; i < iterations; i++) {
        mti_loop_post(l, nothing, NULL);
        if (i % 1000 == 999)
            mti_loop_step(l, 0);
    }
    print("loop.post", mti_mono_us() - start, iterations);
}

int main(int argc, char **argv)
{
    if (argc > 1 && (iterations = atol(argv[1])) < 1000) {
        fprintf(stderr, "usage: bench_loop [iterations, at least 1000]\n");
        return 2;
    }
    mti_loop *l = mti_loop_create(0);
    bench_spawn(l);
    bench_switch_pair(l);
    bench_switch(l);
    bench_turn(l);
    bench_timers(l);
    bench_posts(l);
    bench_offload(l);
    mti_loop_destroy(l);
    return 0;
}
