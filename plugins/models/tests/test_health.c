#include "health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static const health_limits limits = {.failures = 3, .error_percent = 50, .open_ms = 1000};
enum { MS = 1000 };

static health *fresh(void)
{
    static int n;
    char name[20];
    snprintf(name, sizeof name, "model-%d", n++);
    return health_of(MT_SLICE("engine"), mt_str(name), MT_SLICE("http://a"));
}

static void call(health *h, health_verdict v, int64_t now)
{
    assert_true(health_begin(h, &limits, now));
    health_end(h, &limits, v, now);
}

static void test_one_of_a_name(void **state)
{
    health *a = health_of(MT_SLICE("e"), MT_SLICE("m"), MT_SLICE("p"));
    assert_ptr_equal(a, health_of(MT_SLICE("e"), MT_SLICE("m"), MT_SLICE("p")));
    assert_ptr_not_equal(a, health_of(MT_SLICE("e"), MT_SLICE("m"), MT_SLICE("q")));
    assert_non_null(health_at(0));
    assert_null(health_at(1000));
}

static void test_failures_in_a_row_open(void **state)
{
    health *h = fresh();
    call(h, HEALTH_BAD, 0);
    call(h, HEALTH_BAD, 0);
    call(h, HEALTH_GOOD, 0);
    call(h, HEALTH_BAD, 0);
    call(h, HEALTH_BAD, 0);
    assert_true(health_ready(h, &limits, 0));
    call(h, HEALTH_BAD, 5 * MS);
    assert_false(health_ready(h, &limits, 6 * MS));
    assert_false(health_begin(h, &limits, 1004 * MS));
    assert_string_equal(health_state_name(h, 6 * MS), "open");
    assert_int_equal(health_free_at(h, &limits), 1005 * MS);
}

static void test_one_probe_decides(void **state)
{
    health *h = fresh();
    for (int i = 0; i < 3; i++)
        call(h, HEALTH_BAD, 0);
    assert_true(health_begin(h, &limits, 1000 * MS));
    assert_string_equal(health_state_name(h, 1000 * MS), "half_open");
    assert_false(health_begin(h, &limits, 1000 * MS));
    health_end(h, &limits, HEALTH_BAD, 1100 * MS);
    assert_false(health_ready(h, &limits, 2099 * MS));
    assert_true(health_begin(h, &limits, 2100 * MS));
    health_end(h, &limits, HEALTH_GOOD, 2200 * MS);
    assert_string_equal(health_state_name(h, 2200 * MS), "closed");
    call(h, HEALTH_BAD, 2300 * MS);
    assert_true(health_ready(h, &limits, 2300 * MS));
}

static void test_a_probe_without_a_verdict_makes_room(void **state)
{
    health *h = fresh();
    for (int i = 0; i < 3; i++)
        call(h, HEALTH_BAD, 0);
    assert_true(health_begin(h, &limits, 1000 * MS));
    health_end(h, &limits, HEALTH_NO_VERDICT, 1001 * MS);
    assert_true(health_begin(h, &limits, 1002 * MS));
}

static void test_late_verdicts_change_nothing(void **state)
{
    health *h = fresh();
    for (int i = 0; i < 5; i++)
        assert_true(health_begin(h, &limits, 0));
    for (int i = 0; i < 3; i++)
        health_end(h, &limits, HEALTH_BAD, 10 * MS);
    health_end(h, &limits, HEALTH_GOOD, 900 * MS);
    assert_string_equal(health_state_name(h, 900 * MS), "open");
    health_end(h, &limits, HEALTH_BAD, 990 * MS);
    assert_true(health_ready(h, &limits, 1010 * MS));
}

static void test_the_share_of_errors_opens(void **state)
{
    health *h = fresh();
    for (int i = 0; i < 9; i++)
        call(h, i % 2 ? HEALTH_BAD : HEALTH_GOOD, 0);
    assert_true(health_ready(h, &limits, 0));
    call(h, HEALTH_BAD, 0);
    assert_false(health_ready(h, &limits, 0));
}

static void test_a_rest_is_kept(void **state)
{
    health *h = fresh();
    health_rest(h, 500 * MS);
    health_rest(h, 300 * MS);
    assert_false(health_ready(h, &limits, 499 * MS));
    assert_string_equal(health_state_name(h, 499 * MS), "resting");
    assert_int_equal(health_free_at(h, &limits), 500 * MS);
    assert_true(health_ready(h, &limits, 500 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_a_name), cmocka_unit_test(test_failures_in_a_row_open), cmocka_unit_test(test_one_probe_decides),
        cmocka_unit_test(test_a_probe_without_a_verdict_makes_room), cmocka_unit_test(test_late_verdicts_change_nothing),
        cmocka_unit_test(test_the_share_of_errors_opens), cmocka_unit_test(test_a_rest_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
