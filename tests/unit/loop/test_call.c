#include "support.h"
#include "loop/call.h"

static void on_defer(void *arg)
{
    ++*(int *)arg;
}

static void call_outside_a_fiber(void **state)
{
    int released = 0;
    mt_call c;
    mti_call_init(&c, *state);
    assert_null(c.fiber);
    assert_ptr_equal(c.loop, *state);
    assert_string_equal(c.operation, "");
    assert_int_equal(c.arena.limit, 64 << 20);
    mti_arena_defer(&c.arena, on_defer, &released);
    mti_call_dispose(&c);
    assert_int_equal(released, 1);
}

static void init_in_fiber(void *arg)
{
    mt_call *c = arg;
    mti_call_init(c, mti_loop_current());
    assert_ptr_equal(c->fiber, mti_fiber_current());
    mti_call_dispose(c);
}

static void call_inside_a_fiber(void **state)
{
    mt_call c = {0};
    assert_int_equal(mti_fiber_spawn(*state, init_in_fiber, &c), MT_OK);
    assert_ptr_equal(c.loop, *state);
}

static void what_is_left(void **state)
{
    mt_call c;
    mti_call_init(&c, *state);
    assert_true(mti_call_left_ms(&c) == INT64_MAX);
    c.deadline_us = mti_mono_us() + 10 * 1000000;
    assert_in_range(mti_call_left_ms(&c), 9000, 10000);
    c.deadline_us = mti_mono_us() - 1;
    assert_int_equal(mti_call_left_ms(&c), 0);
    c.deadline_us = mti_mono_us() + 900;
    int64_t left = mti_call_left_ms(&c);
    assert_true(left == 1 || mti_mono_us() >= c.deadline_us);
    mti_call_dispose(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(call_outside_a_fiber),
        LOOP_TEST(call_inside_a_fiber),
        LOOP_TEST(what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
