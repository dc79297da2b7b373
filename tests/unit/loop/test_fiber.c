#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char trail[256];

static void mark(const char *s)
{
    strncat(trail, s, sizeof(trail) - strlen(trail) - 1);
}

static int fresh(void **state)
{
    trail[0] = 0;
    return create_loop(state);
}

#define FIBER_TEST(fn) cmocka_unit_test_setup_teardown(fn, fresh, destroy_loop)

/* One fiber under test: what it is and what its wait answered. */
typedef struct subject {
    mti_fiber *fiber;
    mt_status got, then;
    mti_waitlist *list;
    int64_t ms;
    const char *name;
    bool done;
} subject;

static void inner(void *arg)
{
    mark("inner ");
}

static void outer(void *arg)
{
    subject *s = arg;
    s->fiber = mti_fiber_current();
    mark("start ");
    assert_int_equal(mti_fiber_spawn(mti_loop_current(), inner, NULL), MT_OK);
    mark("suspend ");
    s->got = mti_fiber_suspend();
    mark("end ");
}

static void runs_at_once_then_in_turn_order(void **state)
{
    subject s = {0};
    assert_int_equal(mti_fiber_spawn(*state, outer, &s), MT_OK);
    assert_string_equal(trail, "start suspend ");
    assert_null(mti_fiber_current());
    assert_int_equal(mti_fiber_live(*state), 2);
    mti_loop_step(*state, 0);
    assert_string_equal(trail, "start suspend inner ");
    mti_fiber_resume(s.fiber, MT_CONFLICT);
    assert_string_equal(trail, "start suspend inner ");
    mti_loop_step(*state, 1000);
    assert_string_equal(trail, "start suspend inner end ");
    assert_int_equal(s.got, MT_CONFLICT);
    assert_int_equal(mti_fiber_live(*state), 0);
}

static void suspend_twice(void *arg)
{
    subject *s = arg;
    s->fiber = mti_fiber_current();
    s->got = mti_fiber_suspend();
    s->then = mti_fiber_suspend();
    s->done = true;
}

static void cancel_wakes_and_stays(void **state)
{
    subject s = {0};
    mti_fiber_spawn(*state, suspend_twice, &s);
    mti_fiber_cancel(s.fiber);
    mti_fiber_cancel(s.fiber);
    assert_true(mti_fiber_cancelled(s.fiber));
    mti_fiber_resume(s.fiber, MT_OK); /* the waker did not know: harmless */
    mti_loop_step(*state, 0);
    assert_true(s.done);
    assert_int_equal(s.got, MT_CANCELLED);
    assert_int_equal(s.then, MT_CANCELLED);
}

static void resume_before_cancel_keeps_its_status(void **state)
{
    subject s = {0};
    mti_fiber_spawn(*state, suspend_twice, &s);
    mti_fiber_resume(s.fiber, MT_OK);
    mti_fiber_cancel(s.fiber);
    mti_loop_step(*state, 0);
    assert_int_equal(s.got, MT_OK);
    assert_int_equal(s.then, MT_CANCELLED);
}

static void shielded(void *arg)
{
    subject *s = arg;
    s->fiber = mti_fiber_current();
    mti_fiber_shield(true);
    mti_fiber_shield(true);
    s->got = mti_fiber_suspend();
    mti_fiber_shield(false);
    s->got = mti_fiber_suspend();
    mti_fiber_shield(false);
    s->then = mti_fiber_suspend();
    s->done = true;
}

static void shield_holds_a_cancel_back(void **state)
{
    subject s = {0};
    mti_fiber_spawn(*state, shielded, &s);
    mti_fiber_cancel(s.fiber);
    mti_loop_step(*state, 0);
    assert_false(s.done);
    mti_fiber_resume(s.fiber, MT_OK);
    mti_loop_step(*state, 0);
    assert_false(s.done);
    mti_fiber_resume(s.fiber, MT_NOT_FOUND);
    mti_loop_step(*state, 0);
    assert_true(s.done);
    assert_int_equal(s.got, MT_NOT_FOUND);
    assert_int_equal(s.then, MT_CANCELLED);
}

static void sleeper(void *arg)
{
    subject *s = arg;
    s->fiber = mti_fiber_current();
    s->got = mti_sleep(s->ms);
    mark(s->name);
}

static void sleeps_end_by_due_time(void **state)
{
    subject s[] = {{.ms = 200, .name = "c"},
                   {.ms = 1, .name = "a"},
                   {.ms = 100, .name = "b"},
                   {.ms = 300, .name = "d"}};
    int64_t start = mti_mono_us();
    for (int i = 0; i < 4; i++)
        mti_fiber_spawn(*state, sleeper, &s[i]);
    drain(*state);
    assert_string_equal(trail, "abcd");
    assert_true(mti_mono_us() - start >= 300000);
}

static void sleep_is_cancelled(void **state)
{
    subject s = {.ms = 60000, .name = "x"};
    mti_fiber_spawn(*state, sleeper, &s);
    mti_fiber_cancel(s.fiber);
    drain(*state);
    assert_int_equal(s.got, MT_CANCELLED);
}

static void waiter(void *arg)
{
    subject *s = arg;
    s->fiber = mti_fiber_current();
    s->got = mti_wait(s->list, s->ms);
    mark(s->name);
}

static void waitlist_is_fifo(void **state)
{
    mti_waitlist w = {0};
    subject s[] = {{.list = &w, .ms = -1, .name = "a"},
                   {.list = &w, .ms = -1, .name = "b"},
                   {.list = &w, .ms = -1, .name = "c"}};
    assert_false(mti_wake_one(&w));
    for (int i = 0; i < 3; i++)
        mti_fiber_spawn(*state, waiter, &s[i]);
    assert_true(mti_wake_one(&w));
    mti_loop_step(*state, 0);
    assert_string_equal(trail, "a");
    mti_wake_all(&w);
    drain(*state);
    assert_string_equal(trail, "abc");
    assert_int_equal(s[2].got, MT_OK);
}

static void wait_times_out_and_leaves_the_list(void **state)
{
    mti_waitlist w = {0};
    subject s[] = {{.list = &w, .ms = 5, .name = "a"}, {.list = &w, .ms = -1, .name = "b"}};
    mti_fiber_spawn(*state, waiter, &s[0]);
    mti_fiber_spawn(*state, waiter, &s[1]);
    while (mti_fiber_live(*state) > 1)
        mti_loop_step(*state, 50);
    assert_int_equal(s[0].got, MT_TIMEOUT);
    assert_true(mti_wake_one(&w));
    assert_false(mti_wake_one(&w));
    drain(*state);
    assert_string_equal(trail, "ab");
}

static void a_wake_passes_over_the_cancelled(void **state)
{
    mti_waitlist w = {0};
    subject s[] = {{.list = &w, .ms = -1, .name = "a"}, {.list = &w, .ms = 1000, .name = "b"}};
    mti_fiber_spawn(*state, waiter, &s[0]);
    mti_fiber_spawn(*state, waiter, &s[1]);
    mti_fiber_cancel(s[0].fiber);
    assert_true(mti_wake_one(&w));
    drain(*state);
    assert_int_equal(s[0].got, MT_CANCELLED);
    assert_int_equal(s[1].got, MT_OK);
    assert_null(w.head);
    assert_null(w.tail);
}

static void tag_and_data(void *arg)
{
    subject *s = arg;
    s->fiber = mti_fiber_current();
    mti_fiber_set_tag((uint32_t)s->ms);
    mti_fiber_set_data(s);
    mti_fiber_suspend();
    assert_int_equal(mti_fiber_tag(), s->ms);
    assert_ptr_equal(mti_fiber_data(), s);
    s->done = true;
}

static void tag_and_data_are_per_fiber(void **state)
{
    subject s[] = {{.ms = 7}, {.ms = 8}};
    mti_fiber_spawn(*state, tag_and_data, &s[0]);
    mti_fiber_spawn(*state, tag_and_data, &s[1]);
    assert_int_equal(mti_fiber_tag(), 0);
    assert_null(mti_fiber_data());
    mti_fiber_resume(s[1].fiber, MT_OK);
    mti_fiber_resume(s[0].fiber, MT_OK);
    drain(*state);
    assert_true(s[0].done && s[1].done);
}

static void record_frame(void *arg)
{
    *(void **)arg = mti_fiber_current();
}

static void deep_use(void *arg)
{
    volatile char page[100 * 1024];
    for (size_t i = 0; i < sizeof(page); i += 512)
        page[i] = 1;
    mti_fiber_suspend();
    assert_int_equal(page[512], 1);
}

static void deep(void *arg)
{
    *(mti_fiber **)arg = mti_fiber_current();
    deep_use(arg);
}

static void stacks_are_reused(void **state)
{
    mti_fiber *deep_one = NULL;
    void *a = NULL, *b = NULL;
    mti_fiber_spawn(*state, record_frame, &a);
    for (int i = 0; i < 200; i++) {
        mti_fiber_spawn(*state, record_frame, &b);
        assert_ptr_equal(a, b);
    }
    mti_fiber_spawn(*state, deep, &deep_one);
    mti_fiber_resume(deep_one, MT_OK);
    drain(*state);
    mti_fiber_spawn(*state, record_frame, &b);
    assert_ptr_equal(deep_one, b);
}

static bool is_resident(const char *p)
{
    unsigned char in = 0;
    long page = sysconf(_SC_PAGESIZE);
    char *start = (char *)((uintptr_t)p & ~((uintptr_t)page - 1));
    assert_int_equal(mincore(start, (size_t)page, &in), 0);
    return in & 1;
}

static void deep_stacks_are_trimmed(void **state)
{
    mti_fiber *f = NULL;
    mti_fiber_spawn(*state, deep, &f);
    const char *below = (const char *)f - 48 * 1024;
    assert_true(is_resident(below));
    mti_fiber_resume(f, MT_OK);
    drain(*state);
    assert_false(is_resident(below));
}

/* Runs fn in a child; true when it aborts. */
static bool aborts(void (*fn)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void resume_twice(void)
{
    subject s = {0};
    mti_fiber_spawn(mti_loop_create(0), suspend_twice, &s);
    mti_fiber_resume(s.fiber, MT_OK);
    mti_fiber_resume(s.fiber, MT_OK);
}

static void destroy_with_a_live_fiber(void)
{
    subject s = {0};
    mti_loop *l = mti_loop_create(0);
    mti_fiber_spawn(l, suspend_twice, &s);
    mti_loop_destroy(l);
}

static void sleep_outside_a_fiber(void)
{
    mti_sleep(1);
}

static void misuse_aborts(void **state)
{
    assert_true(aborts(resume_twice));
    assert_true(aborts(destroy_with_a_live_fiber));
    assert_true(aborts(sleep_outside_a_fiber));
}

static void limit_is_kept(void **state)
{
    subject s[3] = {0};
    mti_fiber_set_limit(*state, 2);
    assert_int_equal(mti_fiber_spawn(*state, suspend_twice, &s[0]), MT_OK);
    assert_int_equal(mti_fiber_spawn(*state, suspend_twice, &s[1]), MT_OK);
    assert_int_equal(mti_fiber_spawn(*state, suspend_twice, &s[2]), MT_LIMITED);
    mti_fiber_cancel(s[0].fiber);
    mti_fiber_cancel(s[1].fiber);
    drain(*state);
    assert_int_equal(mti_fiber_spawn(*state, sleeper, &(subject){.name = ""}), MT_OK);
    drain(*state);
}

static void count_sleep(void *arg)
{
    if (mti_sleep(20) == MT_OK)
        ++*(int *)arg;
}

static void ten_thousand_sleep(void **state)
{
    int done = 0;
    const int n = UNDER_TSAN ? 2000 : 10000; /* TSan knows at most 8,128 threads and fibers */
    for (int i = 0; i < n; i++)
        assert_int_equal(mti_fiber_spawn(*state, count_sleep, &done), MT_OK);
    assert_int_equal(mti_fiber_live(*state), n);
    drain(*state);
    assert_int_equal(done, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(runs_at_once_then_in_turn_order),
        FIBER_TEST(cancel_wakes_and_stays),
        FIBER_TEST(resume_before_cancel_keeps_its_status),
        FIBER_TEST(shield_holds_a_cancel_back),
        FIBER_TEST(sleeps_end_by_due_time),
        FIBER_TEST(sleep_is_cancelled),
        FIBER_TEST(waitlist_is_fifo),
        FIBER_TEST(wait_times_out_and_leaves_the_list),
        FIBER_TEST(a_wake_passes_over_the_cancelled),
        FIBER_TEST(tag_and_data_are_per_fiber),
        FIBER_TEST(stacks_are_reused),
        FIBER_TEST(deep_stacks_are_trimmed),
        FIBER_TEST(misuse_aborts),
        FIBER_TEST(limit_is_kept),
        FIBER_TEST(ten_thousand_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
