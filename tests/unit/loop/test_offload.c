#include "support.h"
#include "loop/offload.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct fixture {
    mti_loop *loop;
    mti_offload *pool;
    sem_t started, gate; /* a piece says it runs; a piece waits to be let go */
    atomic_int ran, order;
} fixture;

/* One piece and the fiber that waits for it. */
typedef struct job {
    fixture *fx;
    mti_fiber *fiber;
    uint64_t owner;
    void (*fn)(void *arg);
    mt_status got;
    int place; /* how many pieces ran before this one */
    bool ended, saw_cancel, shield;
} job;

static int create(void **state)
{
    fixture *fx = calloc(1, sizeof(*fx));
    fx->loop = mti_loop_create(0);
    fx->pool = mti_offload_create(1);
    sem_init(&fx->started, 0, 0);
    sem_init(&fx->gate, 0, 0);
    *state = fx;
    return 0;
}

static int destroy(void **state)
{
    fixture *fx = *state;
    mti_offload_destroy(fx->pool);
    mti_loop_destroy(fx->loop);
    sem_destroy(&fx->started);
    sem_destroy(&fx->gate);
    free(fx);
    return 0;
}

#define OFFLOAD_TEST(fn) cmocka_unit_test_setup_teardown(fn, create, destroy)

static void job_fiber(void *arg)
{
    job *j = arg;
    j->fiber = mti_fiber_current();
    if (j->shield)
        mti_fiber_shield(true);
    j->got = mti_offload_run(j->fx->pool, j->owner, j->fn, j);
    if (j->shield)
        mti_fiber_shield(false);
    j->ended = true;
}

static void job_start(job *j)
{
    assert_int_equal(mti_fiber_spawn(j->fx->loop, job_fiber, j), MT_OK);
}

static void quick(void *arg)
{
    job *j = arg;
    j->place = atomic_fetch_add(&j->fx->ran, 1);
}

static void gated(void *arg)
{
    job *j = arg;
    sem_post(&j->fx->started);
    sem_wait(&j->fx->gate);
    j->saw_cancel = mti_offload_cancelled();
    atomic_fetch_add(&j->fx->ran, 1);
}

static void sees_no_fiber(void *arg)
{
    job *j = arg;
    j->saw_cancel = mti_fiber_current() || mti_loop_current() || mti_offload_cancelled();
}

static void runs_and_returns(void **state)
{
    job j = {.fx = *state, .fn = sees_no_fiber, .saw_cancel = true};
    job_start(&j);
    drain(j.fx->loop);
    assert_int_equal(j.got, MT_OK);
    assert_false(j.saw_cancel);
    assert_false(mti_offload_cancelled());
}

static void owners_take_turns(void **state)
{
    enum { FLOOD = 1000 };
    fixture *fx = *state;
    job first = {.fx = fx, .owner = 1, .fn = gated};
    job *flood = calloc(FLOOD, sizeof(*flood));
    job single = {.fx = fx, .owner = 2, .fn = quick};
    job_start(&first);
    sem_wait(&fx->started);
    for (int i = 0; i < FLOOD; i++) {
        flood[i] = (job){.fx = fx, .owner = 1, .fn = quick};
        job_start(&flood[i]);
    }
    job_start(&single);
    sem_post(&fx->gate);
    drain(fx->loop);
    assert_int_equal(single.got, MT_OK);
    assert_in_range(single.place, 1, 3); /* the gated one, at most two of the flood */
    for (int i = 1; i < FLOOD; i++)
        assert_true(flood[i - 1].place < flood[i].place);
    free(flood);
}

static void cancelled_before_it_ran(void **state)
{
    fixture *fx = *state;
    job block = {.fx = fx, .owner = 1, .fn = gated}, a = {.fx = fx, .owner = 1, .fn = quick};
    job b = {.fx = fx, .owner = 2, .fn = quick}, c = {.fx = fx, .owner = 3, .fn = quick};
    job_start(&block);
    sem_wait(&fx->started);
    job_start(&a);
    job_start(&b);
    job_start(&c);
    mti_fiber_cancel(b.fiber);
    mti_fiber_cancel(c.fiber);
    mti_loop_step(fx->loop, 0);
    assert_true(b.ended && c.ended);
    assert_int_equal(b.got, MT_CANCELLED);
    sem_post(&fx->gate);
    drain(fx->loop);
    assert_int_equal(a.got, MT_OK);
    assert_int_equal(fx->ran, 2); /* the gated one and a */
}

static void cancelled_while_it_runs(void **state)
{
    fixture *fx = *state;
    job j = {.fx = fx, .owner = 1, .fn = gated};
    job_start(&j);
    sem_wait(&fx->started);
    mti_fiber_cancel(j.fiber);
    mti_loop_step(fx->loop, 0);
    assert_false(j.ended); /* never released before fn returned */
    sem_post(&fx->gate);
    drain(fx->loop);
    assert_int_equal(j.got, MT_CANCELLED);
    assert_true(j.saw_cancel);
}

static void a_shield_hides_the_cancel(void **state)
{
    fixture *fx = *state;
    job j = {.fx = fx, .owner = 1, .fn = gated, .shield = true};
    job_start(&j);
    sem_wait(&fx->started);
    mti_fiber_cancel(j.fiber);
    mti_loop_step(fx->loop, 0);
    sem_post(&fx->gate);
    drain(fx->loop);
    assert_int_equal(j.got, MT_OK);
    assert_false(j.saw_cancel);
}

static void an_owner_is_limited(void **state)
{
    enum { N = 4096 };
    fixture *fx = *state;
    job block = {.fx = fx, .owner = 9, .fn = gated}, over = {.fx = fx, .owner = 1, .fn = quick};
    job other = {.fx = fx, .owner = 2, .fn = quick};
    job *jobs = calloc(N, sizeof(*jobs));
    job_start(&block);
    sem_wait(&fx->started);
    for (int i = 0; i < N; i++) {
        jobs[i] = (job){.fx = fx, .owner = 1, .fn = quick};
        job_start(&jobs[i]);
    }
    job_start(&over);
    assert_true(over.ended);
    assert_int_equal(over.got, MT_LIMITED);
    job_start(&other);
    sem_post(&fx->gate);
    drain(fx->loop);
    assert_int_equal(other.got, MT_OK);
    assert_int_equal(fx->ran, N + 2);
    free(jobs);
}

/* Many fibers over two threads with cancels at every stage: what is counted must add up. */
static void churn(void **state)
{
    enum { N = 300, ROUNDS = UNDER_TSAN ? 4 : 20 }; /* making a fiber costs TSan a millisecond */
    fixture *fx = *state;
    mti_offload *pool = fx->pool;
    static job jobs[N];
    int ok = 0;
    fx->pool = mti_offload_create(2);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            jobs[i] = (job){.fx = fx, .owner = (uint64_t)(i % 7), .fn = quick};
            job_start(&jobs[i]);
        }
        for (int i = round % 3; i < N; i += 3)
            if (!jobs[i].ended)
                mti_fiber_cancel(jobs[i].fiber);
        drain(fx->loop);
        for (int i = 0; i < N; i++)
            ok += jobs[i].got == MT_OK;
    }
    assert_true(ok >= N * ROUNDS * 2 / 3);
    assert_true(atomic_load(&fx->ran) >= ok);
    mti_offload_destroy(fx->pool);
    fx->pool = pool;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OFFLOAD_TEST(runs_and_returns),
        OFFLOAD_TEST(owners_take_turns),
        OFFLOAD_TEST(cancelled_before_it_ran),
        OFFLOAD_TEST(cancelled_while_it_runs),
        OFFLOAD_TEST(a_shield_hides_the_cancel),
        OFFLOAD_TEST(an_owner_is_limited),
        OFFLOAD_TEST(churn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
