#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static int fails_in = -1; /* the malloc that answers NULL: 0 is the next one */

static void *failing_malloc(size_t n)
{
    return fails_in-- == 0 ? NULL : malloc(n);
}

#define malloc failing_malloc
#include "base/arena.c"
#undef malloc

static void test_memory_is_zeroed_and_aligned(void **state)
{
    mti_arena a;
    mti_arena_init(&a, 0);
    for (size_t n = 0; n < 300; n++) {
        unsigned char *p = mti_arena_alloc(&a, n);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xAA, n);
    }
    mti_arena_reset(&a);
    unsigned char *again = mti_arena_alloc(&a, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(again[i], 0);
    mti_arena_dispose(&a);
}

static void test_large_and_small_do_not_overlap(void **state)
{
    mti_arena a;
    mti_arena_init(&a, 0);
    char *p[64];
    for (int i = 0; i < 64; i++) {
        size_t n = i % 4 == 0 ? 100000 : 700;
        p[i] = mti_arena_alloc(&a, n);
        memset(p[i], i, n);
    }
    for (int i = 0; i < 64; i++) {
        size_t n = i % 4 == 0 ? 100000 : 700;
        assert_int_equal(p[i][0], i);
        assert_int_equal(p[i][n - 1], i);
    }
    mti_arena_dispose(&a);
}

static void test_limit_is_kept(void **state)
{
    mti_arena a;
    mti_arena_init(&a, 1000);
    assert_non_null(mti_arena_try_alloc(&a, 600));
    assert_null(mti_arena_try_alloc(&a, 401));
    assert_non_null(mti_arena_try_alloc(&a, 400));
    assert_null(mti_arena_try_alloc(&a, 1));
    assert_null(mti_arena_try_alloc(&a, SIZE_MAX));
    assert_string_equal(mti_arena_strndup(&a, "what must be had", 16), "what must be had");
    assert_null(mti_arena_try_alloc(&a, 1));
    mti_arena_reset(&a);
    assert_non_null(mti_arena_try_alloc(&a, 1000));
    mti_arena_dispose(&a);
}

static void test_strings(void **state)
{
    mti_arena a;
    mti_arena_init(&a, 0);
    assert_string_equal(mti_arena_strndup(&a, "abcdef", 3), "abc");
    mt_slice s = mti_arena_slice(&a, MT_SLICE("xyz"));
    assert_int_equal(s.len, 3);
    assert_string_equal(s.p, "xyz");
    assert_string_equal(mti_arena_slice(&a, (mt_slice){0}).p, "");
    assert_string_equal(mti_arena_printf(&a, "%d-%s", 42, "q"), "42-q");
    mti_arena_dispose(&a);
}

static char order[16];

static void note(void *arg)
{
    strcat(order, arg);
}

static void test_defers_run_last_first(void **state)
{
    mti_arena a;
    mti_arena_init(&a, 0);
    order[0] = 0;
    mti_arena_defer(&a, note, "1");
    mti_arena_defer(&a, note, "2");
    mti_arena_defer(&a, note, "3");
    mti_arena_defer(&a, note, "2");
    assert_true(mti_arena_undefer(&a, note, "2"));
    assert_false(mti_arena_undefer(&a, note, "nobody"));
    mti_arena_reset(&a);
    assert_string_equal(order, "321");
    mti_arena_defer(&a, note, "4");
    mti_arena_dispose(&a);
    assert_string_equal(order, "3214");
}

static void test_every_allocation_fails_once(void **state)
{
    for (int fail = 0; fail < 20; fail++) {
        mti_arena a;
        mti_arena_init(&a, 0);
        fails_in = fail;
        int refused = 0;
        for (int i = 0; i < 40; i++) {
            char *p = mti_arena_try_alloc(&a, 9000);
            refused += p == NULL;
            if (p)
                memset(p, 1, 9000);
        }
        fails_in = -1;
        assert_in_range(refused, 0, 1);
        mti_arena_dispose(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_zeroed_and_aligned),
        cmocka_unit_test(test_large_and_small_do_not_overlap),
        cmocka_unit_test(test_limit_is_kept),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_defers_run_last_first),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
