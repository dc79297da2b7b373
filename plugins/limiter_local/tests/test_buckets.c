#include "buckets.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

enum { SECOND = 1000000000 };

static bucket_answer take(buckets *b, const char *key, uint32_t cost, int64_t now)
{
    return buckets_take(b, mt_str(key), cost, 60, 5, now);
}

static void test_burst_then_rate(void **state)
{
    buckets *b = buckets_create(12);
    for (uint32_t i = 0; i < 5; i++) {
        bucket_answer a = take(b, "k", 1, SECOND);
        assert_true(a.taken);
        assert_int_equal(a.remaining, 4 - i);
    }
    bucket_answer a = take(b, "k", 1, SECOND);
    assert_false(a.taken);
    assert_int_equal(a.retry_after_ms, 1000);
    assert_true(take(b, "other", 1, SECOND).taken);
    assert_false(take(b, "k", 1, 2 * (int64_t)SECOND - 1).taken);
    assert_true(take(b, "k", 1, 2 * (int64_t)SECOND).taken);
    assert_false(take(b, "k", 1, 2 * (int64_t)SECOND).taken);
    assert_int_equal(take(b, "k", 1, 100 * (int64_t)SECOND).remaining, 4);
    buckets_destroy(b);
}

static void test_cost_is_all_or_nothing(void **state)
{
    buckets *b = buckets_create(12);
    assert_true(take(b, "k", 3, SECOND).taken);
    bucket_answer a = take(b, "k", 3, SECOND);
    assert_false(a.taken);
    assert_int_equal(a.remaining, 2);
    assert_int_equal(a.retry_after_ms, 1000);
    assert_true(take(b, "k", 2, SECOND).taken);
    assert_false(take(b, "never", 6, SECOND).taken);
    assert_true(take(b, "never", 5, SECOND).taken);
    buckets_destroy(b);
}

static void test_edges(void **state)
{
    buckets *b = buckets_create(12);
    assert_false(buckets_take(b, MT_SLICE("k"), 1, 0, 5, SECOND).taken);
    assert_false(buckets_take(b, MT_SLICE("k"), 1, 5, 0, SECOND).taken);
    bucket_answer a = buckets_take(b, MT_SLICE("big"), 1, UINT32_MAX, UINT32_MAX, SECOND);
    assert_true(a.taken);
    assert_int_equal(a.remaining, UINT32_MAX - 1);
    assert_true(buckets_take(b, (mt_slice){0}, 1, 60, 5, SECOND).taken);
    /* 1 a minute with the largest burst does not overflow */
    assert_true(buckets_take(b, MT_SLICE("slow"), 1, 10, 10000000, SECOND).taken);
    /* a rate that was lowered counts from now on */
    for (int i = 0; i < 1000; i++)
        assert_true(buckets_take(b, MT_SLICE("changed"), 1, 1000, 1000, SECOND).taken);
    assert_int_equal(buckets_take(b, MT_SLICE("changed"), 1, 60, 5, SECOND).retry_after_ms, 1000);
    buckets_destroy(b);
}

/* A flood of new keys pushes out full buckets first: the one that is limited stays so. */
static void test_flood_keeps_limited(void **state)
{
    buckets *b = buckets_create(12);
    char key[32];
    for (int i = 0; i < 5; i++)
        take(b, "greedy", 1, SECOND);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "flood %d", i);
        assert_true(take(b, key, 1, SECOND).taken);
    }
    assert_false(take(b, "greedy", 1, SECOND).taken);
    buckets_destroy(b);
}

typedef struct worker {
    buckets *b;
    unsigned taken;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    for (int i = 0; i < 20000; i++)
        w->taken += buckets_take(w->b, MT_SLICE("shared"), 1, 60, 10000, SECOND).taken;
    return NULL;
}

static void test_threads_share(void **state)
{
    buckets *b = buckets_create(12);
    worker workers[4] = {0};
    pthread_t threads[4];
    unsigned taken = 0;
    for (int i = 0; i < 4; i++) {
        workers[i].b = b;
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        taken += workers[i].taken;
    }
    assert_int_equal(taken, 10000);
    buckets_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_rate), cmocka_unit_test(test_cost_is_all_or_nothing),
        cmocka_unit_test(test_edges), cmocka_unit_test(test_flood_keeps_limited),
        cmocka_unit_test(test_threads_share)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
