#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static ledger_row row(const char *org, int32_t day, const char *model)
{
    ledger_row r = {.day = day, .calls = 1, .input_tokens = 10, .output_tokens = 5, .cost_microusd = 7};
    snprintf(r.org, sizeof r.org, "%s", org);
    snprintf(r.model, sizeof r.model, "%s", model);
    r.latency[3] = 1;
    return r;
}

static void add(ledger *l, ledger_row r)
{
    assert_true(ledger_add(l, &r));
}

static void test_sums_and_keeps_apart(void **state)
{
    ledger l = LEDGER_INIT;
    add(&l, row("a", 1, "m"));
    add(&l, row("a", 1, "m"));
    add(&l, row("a", 2, "m"));
    add(&l, row("b", 1, "m"));
    assert_int_equal(l.rows, 3);
    ledger_row *r = ledger_take(&l, MT_SLICE("a"), 10, 0);
    assert_int_equal(r->day, 2);
    assert_int_equal(r->next->calls, 2);
    assert_int_equal(r->next->cost_microusd, 14);
    assert_int_equal(r->next->latency[3], 2);
    assert_null(r->next->next);
    ledger_free(r);
    assert_int_equal(l.rows, 1);
    assert_null(ledger_take(&l, MT_SLICE("a"), 10, 0));
    r = ledger_take_any(&l);
    assert_string_equal(r->org, "b");
    ledger_free(r);
    assert_null(ledger_take_any(&l));
    ledger_dispose(&l);
}

static void test_not_before_its_age(void **state)
{
    ledger l = LEDGER_INIT;
    add(&l, row("a", 1, "m"));
    ledger_free(ledger_take(&l, MT_SLICE("a"), 1000, 500));
    add(&l, row("a", 1, "m"));
    assert_null(ledger_take(&l, MT_SLICE("a"), 1499, 500));
    ledger_row *r = ledger_take(&l, MT_SLICE("a"), 1500, 500);
    assert_non_null(r);
    ledger_free(r);
    ledger_dispose(&l);
}

static void test_buckets_hold_what_they_say(void **state)
{
    assert_int_equal(ledger_bucket(0), 0);
    assert_int_equal(ledger_bucket(INT64_MAX), LEDGER_BUCKETS - 1);
    for (int64_t us = 1000; us < 10000000; us = us * 5 / 4) {
        unsigned b = ledger_bucket(us);
        assert_true((double)us / 1000 <= ledger_bound_ms(b));
        assert_true(b == 0 || (double)us / 1000 >= ledger_bound_ms(b - 1) * 0.999);
    }
}

static void test_quantiles(void **state)
{
    int64_t latency[LEDGER_BUCKETS] = {0};
    assert_true(ledger_quantile_ms(latency, 0.5) == 0);
    for (int i = 0; i < 95; i++)
        latency[ledger_bucket(10000)]++;
    for (int i = 0; i < 5; i++)
        latency[ledger_bucket(1000000)]++;
    double p50 = ledger_quantile_ms(latency, 0.5), p99 = ledger_quantile_ms(latency, 0.99);
    assert_true(p50 > 7 && p50 < 12);
    assert_true(p99 > 700 && p99 < 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums_and_keeps_apart), cmocka_unit_test(test_not_before_its_age),
                                       cmocka_unit_test(test_buckets_hold_what_they_say), cmocka_unit_test(test_quantiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
