#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "policy/kv.h"

#define SECOND 1000000

static mti_kv_scope scope(uint8_t n)
{
    return (mti_kv_scope){.org_id = {{n}}};
}

static mti_kv_value text(const char *s)
{
    return (mti_kv_value){.text = mt_str(s)};
}

static int setup(void **state)
{
    *state = mti_kv_create();
    return 0;
}

static int teardown(void **state)
{
    mti_kv_destroy(*state);
    return 0;
}

static void keeps_and_expires(void **state)
{
    mti_kv *kv = *state;
    mti_kv_value v;
    assert_int_equal(mti_kv_set(kv, scope(1), MT_SLICE("a"), text("one"), SECOND, 0), MT_OK);
    assert_int_equal(mti_kv_get(kv, scope(1), MT_SLICE("a"), SECOND - 1, &v), MT_OK);
    assert_int_equal(v.text.len, 3);
    assert_memory_equal(v.text.p, "one", 3);
    assert_int_equal(mti_kv_get(kv, scope(2), MT_SLICE("a"), 0, &v), MT_NOT_FOUND);
    assert_int_equal(mti_kv_set(kv, scope(1), MT_SLICE("a"), text("two"), SECOND, SECOND / 2),
                     MT_OK);
    assert_int_equal(mti_kv_get(kv, scope(1), MT_SLICE("a"), SECOND, &v), MT_OK);
    assert_memory_equal(v.text.p, "two", 3);
    assert_int_equal(mti_kv_get(kv, scope(1), MT_SLICE("a"), 2 * SECOND, &v), MT_NOT_FOUND);
    assert_int_equal(mti_kv_count(kv), 0);
}

static void counts(void **state)
{
    mti_kv *kv = *state;
    double sum;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(mti_kv_incr(kv, scope(1), MT_SLICE("n"), 2, SECOND, i * 1000, &sum),
                         MT_OK);
        assert_true(sum == 2 * i);
    }
    assert_int_equal(mti_kv_incr(kv, scope(1), MT_SLICE("n"), 2, SECOND, SECOND + 1000, &sum),
                     MT_OK);
    assert_true(sum == 2);
    assert_int_equal(mti_kv_set(kv, scope(1), MT_SLICE("n"), text("x"), SECOND, SECOND), MT_OK);
    assert_int_equal(mti_kv_incr(kv, scope(1), MT_SLICE("n"), 1, SECOND, SECOND, &sum), MT_OK);
    assert_true(sum == 1);
}

static void removes(void **state)
{
    mti_kv *kv = *state;
    assert_int_equal(mti_kv_set(kv, scope(1), MT_SLICE("a"), text("x"), SECOND, 0), MT_OK);
    assert_int_equal(mti_kv_set(kv, scope(1), MT_SLICE("a"), text("x"), 0, 0), MT_OK);
    assert_int_equal(mti_kv_count(kv), 0);
}

static void sizes_are_bounded(void **state)
{
    mti_kv *kv = *state;
    static char large[5000];
    assert_int_equal(mti_kv_set(kv, scope(1), (mt_slice){large, 129}, text("x"), SECOND, 0),
                     MT_TOO_LARGE);
    assert_int_equal(
        mti_kv_set(kv, scope(1), MT_SLICE("a"), (mti_kv_value){.text = {large, 4097}}, SECOND, 0),
        MT_TOO_LARGE);
    assert_int_equal(mti_kv_set(kv, scope(1), (mt_slice){large, 128},
                                (mti_kv_value){.text = {large, 4096}}, SECOND, 0),
                     MT_OK);
}

static mt_status fill(mti_kv *kv, mti_kv_scope s, int n, size_t size, int64_t ttl, int64_t now)
{
    static char large[4096];
    char key[16];
    snprintf(key, sizeof key, "k%d", n);
    return mti_kv_set(kv, s, mt_str(key), (mti_kv_value){.text = {large, size}}, ttl, now);
}

static void quotas(void **state)
{
    mti_kv *kv = *state;
    int n = 0;
    while (fill(kv, scope(1), n, 8, SECOND, 0) == MT_OK)
        n++;
    assert_int_equal(n, 1000);
    assert_int_equal(fill(kv, scope(2), 0, 8, SECOND, 0), MT_OK);
    assert_int_equal(fill(kv, scope(1), n, 8, SECOND, SECOND), MT_OK); /* the others have expired */
    n = 0;
    while (fill(kv, scope(3), n, 4096, SECOND, 0) == MT_OK)
        n++;
    assert_in_range(n, 55, 64);
}

static void old_entries_go_by_themselves(void **state)
{
    mti_kv *kv = *state;
    for (int i = 0; i < 500; i++)
        assert_int_equal(fill(kv, scope(1), i, 8, SECOND, 0), MT_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(fill(kv, scope(2), i, 8, 10 * SECOND, 2 * SECOND), MT_OK);
    assert_int_equal(mti_kv_count(kv), 200);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(keeps_and_expires), T(counts), T(removes),
        T(sizes_are_bounded), T(quotas), T(old_entries_go_by_themselves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
