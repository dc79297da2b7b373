#include "lru.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char space[2 << 20];

static void *alloc(void *arg, size_t n)
{
    return n <= sizeof space ? space : NULL;
}

static void *refuse(void *arg, size_t n)
{
    return NULL;
}

static bool holds(lru *l, const char *key, const char *value, int64_t now)
{
    mt_slice out;
    return lru_get(l, mt_str(key), now, alloc, NULL, &out) == MT_OK &&
           mt_slice_eq(out, mt_str(value));
}

static void test_put_get_remove(void **state)
{
    lru *l = lru_create(1 << 20);
    mt_slice out;
    assert_int_equal(lru_put(l, MT_SLICE("a"), MT_SLICE("1"), 100), MT_OK);
    assert_int_equal(lru_put(l, MT_SLICE("empty"), (mt_slice){0}, 100), MT_OK);
    assert_true(holds(l, "a", "1", 99));
    assert_true(holds(l, "empty", "", 99));
    assert_int_equal(lru_put(l, MT_SLICE("a"), MT_SLICE("22"), 200), MT_OK);
    assert_true(holds(l, "a", "22", 150));
    assert_int_equal(lru_get_stats(l).entries, 2);
    assert_int_equal(lru_get(l, MT_SLICE("a"), 0, refuse, NULL, &out), MT_NO_MEMORY);
    lru_remove(l, MT_SLICE("a"));
    lru_remove(l, MT_SLICE("a"));
    assert_int_equal(lru_get(l, MT_SLICE("a"), 0, alloc, NULL, &out), MT_NOT_FOUND);
    lru_destroy(l);
}

static void test_time_to_live(void **state)
{
    lru *l = lru_create(1 << 20);
    lru_put(l, MT_SLICE("a"), MT_SLICE("1"), 100);
    assert_true(holds(l, "a", "1", 99));
    assert_false(holds(l, "a", "1", 100));
    assert_int_equal(lru_get_stats(l).entries, 0);
    assert_int_equal(lru_get_stats(l).bytes, 0);
    lru_destroy(l);
}

static void test_bounded_and_oldest_goes(void **state)
{
    lru *l = lru_create(1 << 20);
    char key[32], *value = calloc(1, 1000);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(lru_put(l, mt_str(key), (mt_slice){value, 1000}, INT64_MAX), MT_OK);
        assert_int_equal(lru_put(l, MT_SLICE("used"), MT_SLICE("x"), INT64_MAX), MT_OK);
        assert_true(holds(l, "used", "x", 0));
    }
    assert_true(lru_get_stats(l).bytes <= 1 << 20);
    assert_true(lru_get_stats(l).entries > 800);
    assert_false(holds(l, "key 0", "", 0));
    assert_int_equal(lru_put(l, MT_SLICE("large"), (mt_slice){space, 70000}, 1), MT_TOO_LARGE);
    free(value);
    lru_destroy(l);
}

/* Against a plain array as the model: what is answered is always the last value put. */
static void test_random_against_model(void **state)
{
    enum { KEYS = 500 };
    static int model[KEYS];
    lru *l = lru_create(16 << 20);
    char key[16], value[16];
    srand(7);
    for (int i = 0; i < 200000; i++) {
        int k = rand() % KEYS, what = rand() % 4;
        snprintf(key, sizeof key, "%d", k);
        if (what == 0) {
            lru_remove(l, mt_str(key));
            model[k] = 0;
        } else if (what == 1) {
            model[k] = i + 1;
            snprintf(value, sizeof value, "%d", i + 1);
            lru_put(l, mt_str(key), mt_str(value), INT64_MAX);
        } else {
            snprintf(value, sizeof value, "%d", model[k]);
            assert_int_equal(holds(l, key, value, 0), model[k] != 0);
        }
    }
    lru_destroy(l);
}

static void *copy_alloc(void *arg, size_t n)
{
    return arg;
}

static void *hammer(void *arg)
{
    char key[16], copy[256];
    unsigned seed = (unsigned)(uintptr_t)&key;
    for (int i = 0; i < 50000; i++) {
        mt_slice out;
        snprintf(key, sizeof key, "%d", rand_r(&seed) % 300);
        if (rand_r(&seed) % 3 == 0)
            lru_put(arg, mt_str(key), mt_str(key), INT64_MAX);
        else if (lru_get(arg, mt_str(key), 0, copy_alloc, copy, &out) == MT_OK &&
                 !mt_slice_eq(out, mt_str(key)))
            return "another key's value";
        if (rand_r(&seed) % 50 == 0)
            lru_remove(arg, mt_str(key));
    }
    return NULL;
}

static void test_threads(void **state)
{
    lru *l = lru_create(16 * 2000);
    pthread_t threads[4];
    void *failed;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hammer, l);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_true(lru_get_stats(l).bytes <= 16 * 2000);
    lru_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_remove), cmocka_unit_test(test_time_to_live),
        cmocka_unit_test(test_bounded_and_oldest_goes), cmocka_unit_test(test_random_against_model),
        cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
