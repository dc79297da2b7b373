#include "support.h"
#include "loop/signal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct waiter {
    uint64_t signal;
    mti_fiber *fiber;
    int64_t timeout_ms;
    unsigned times, woken;
    mt_status got;
    bool ended;
} waiter;

static void wait_fiber(void *arg)
{
    waiter *w = arg;
    w->fiber = mti_fiber_current();
    while (w->woken < w->times && (w->got = mti_signal_wait(w->signal, w->timeout_ms)) == MT_OK)
        __atomic_add_fetch(&w->woken, 1, __ATOMIC_SEQ_CST);
    w->ended = true;
}

static void *raise_each(void *arg)
{
    waiter *w = arg;
    for (unsigned i = 0; i < w->times; i++) {
        mti_signal_raise(w->signal);
        while (__atomic_load_n(&w->woken, __ATOMIC_SEQ_CST) == i)
            sched_yield();
    }
    return NULL;
}

/* A thread raises as soon as the fiber saw the raise before: none is lost, whichever side is ahead. */
static void test_no_raise_is_lost(void **state)
{
    mti_loop *l = mti_loop_create(0);
    waiter w = {.timeout_ms = -1, .times = 20000};
    pthread_t id;
    assert_int_equal(mti_signal_create(l, &w.signal), MT_OK);
    assert_int_equal(mti_fiber_spawn(l, wait_fiber, &w), MT_OK);
    pthread_create(&id, NULL, raise_each, &w);
    while (!w.ended)
        mti_loop_step(l, 1000);
    pthread_join(id, NULL);
    assert_int_equal(w.got, MT_OK);
    mti_signal_destroy(w.signal);
    mti_loop_destroy(l);
}

static void test_several_raises_are_one(void **state)
{
    mti_loop *l = mti_loop_create(0);
    waiter w = {.timeout_ms = 20, .times = 2};
    assert_int_equal(mti_signal_create(l, &w.signal), MT_OK);
    mti_signal_raise(w.signal);
    mti_signal_raise(w.signal);
    assert_int_equal(mti_fiber_spawn(l, wait_fiber, &w), MT_OK);
    while (!w.ended)
        mti_loop_step(l, 1000);
    assert_int_equal(w.woken, 1);
    assert_int_equal(w.got, MT_TIMEOUT);
    mti_signal_destroy(w.signal);
    mti_loop_destroy(l);
}

static void test_a_cancel_ends_the_wait(void **state)
{
    mti_loop *l = mti_loop_create(0);
    waiter w = {.timeout_ms = -1, .times = 1};
    assert_int_equal(mti_signal_create(l, &w.signal), MT_OK);
    assert_int_equal(mti_fiber_spawn(l, wait_fiber, &w), MT_OK);
    mti_fiber_cancel(w.fiber);
    while (!w.ended)
        mti_loop_step(l, 1000);
    assert_int_equal(w.got, MT_CANCELLED);
    mti_signal_destroy(w.signal);
    mti_loop_destroy(l);
}

typedef struct late {
    atomic_uint_fast64_t signal;
    atomic_bool stop;
} late;

static void *raise_always(void *arg)
{
    late *x = arg;
    while (!atomic_load(&x->stop))
        mti_signal_raise(atomic_load(&x->signal));
    return NULL;
}

/* A thread that does not know that the call has ended: its raises reach nobody, not even who got the slot next. */
static void test_late_raises_are_dropped(void **state)
{
    mti_loop *l = mti_loop_create(0);
    late x = {0};
    pthread_t id;
    uint64_t first, next;
    assert_int_equal(mti_signal_create(l, &first), MT_OK);
    atomic_store(&x.signal, first);
    pthread_create(&id, NULL, raise_always, &x);
    for (int i = 0; i < 2000; i++) {
        mti_signal_destroy(first);
        assert_int_equal(mti_signal_create(l, &next), MT_OK);
        assert_true(next != first);
        waiter w = {.signal = next, .timeout_ms = 0, .times = 1};
        assert_int_equal(mti_fiber_spawn(l, wait_fiber, &w), MT_OK);
        while (!w.ended)
            mti_loop_step(l, 10);
        assert_int_equal(w.got, MT_TIMEOUT);
        first = next;
        atomic_store(&x.signal, next);
    }
    atomic_store(&x.stop, true);
    pthread_join(id, NULL);
    mti_signal_destroy(next);
    mti_loop_step(l, 0);
    mti_loop_destroy(l);
}

static void test_unknown_numbers(void **state)
{
    mti_signal_raise(0);
    mti_signal_raise(12345678901234u);
    assert_int_equal(mti_signal_wait(0, 0), MT_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_raise_is_lost), cmocka_unit_test(test_several_raises_are_one), cmocka_unit_test(test_a_cancel_ends_the_wait),
        cmocka_unit_test(test_late_raises_are_dropped), cmocka_unit_test(test_unknown_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
