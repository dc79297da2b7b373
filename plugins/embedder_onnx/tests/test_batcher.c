/* Batches: every text once, within the limits, little padding. Pooling: against plain arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <math.h>
#include <cmocka.h>

#include "batcher.h"
#include "pooling.h"

static void check_plan(const uint32_t *lengths, size_t n, batch_limits l)
{
    uint32_t order[500];
    batch batches[500];
    bool seen[500] = {false};
    size_t count = batch_plan(lengths, n, &l, order, batches), at = 0;
    for (size_t b = 0; b < count; b++) {
        size_t used = 0, area = batches[b].rows * batches[b].length;
        assert_int_equal(batches[b].first, at);
        assert_true(batches[b].rows >= 1 && batches[b].rows <= l.rows);
        assert_true(batches[b].rows == 1 || area <= l.tokens);
        for (size_t r = 0; r < batches[b].rows; r++, at++) {
            assert_false(seen[order[at]]);
            seen[order[at]] = true;
            assert_true(lengths[order[at]] <= batches[b].length);
            used += lengths[order[at]];
        }
        assert_true((area - used) * 100 <= area * l.waste);
    }
    assert_int_equal(at, n);
}

static void test_plans(void **state)
{
    unsigned seed = 9;
    uint32_t lengths[500];
    for (int round = 0; round < 500; round++) {
        size_t n = rand_r(&seed) % 500;
        for (size_t i = 0; i < n; i++)
            lengths[i] = 1 + rand_r(&seed) % 256;
        check_plan(lengths, n, (batch_limits){.rows = 1 + rand_r(&seed) % 40, .tokens = 1 + rand_r(&seed) % 5000,
                                              .waste = 1 + rand_r(&seed) % 30});
    }
}

static void test_equal_lengths_fill_batches(void **state)
{
    uint32_t lengths[100], order[100];
    batch batches[100];
    for (size_t i = 0; i < 100; i++)
        lengths[i] = 10;
    assert_int_equal(batch_plan(lengths, 100, &(batch_limits){.rows = 25}, order, batches), 4);
    assert_int_equal(order[0], 0); /* equal lengths keep their order */
    assert_int_equal(order[99], 99);
}

static void test_pooling(void **state)
{
    const float hidden[2 * 3 * 2] = {1, 2, 3, 4, 100, 100, 5, 0, 100, 100, 100, 100};
    const int64_t mask[6] = {1, 1, 0, 1, 0, 0};
    float out[4], zero[3] = {0, 0, 0}, bad[2] = {INFINITY, 1};
    pooling_mean(hidden, mask, 2, 3, 2, out);
    assert_true(out[0] == 2 && out[1] == 3 && out[2] == 5 && out[3] == 0);
    float v[2] = {3, 4};
    pooling_normalize(v, 2);
    assert_true(fabsf(v[0] - 0.6f) < 1e-6f && fabsf(v[1] - 0.8f) < 1e-6f);
    pooling_normalize(zero, 3);
    assert_true(zero[0] == 0 && zero[2] == 0);
    pooling_normalize(bad, 2);
    assert_true(bad[0] == 0 && bad[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_equal_lengths_fill_batches),
        cmocka_unit_test(test_pooling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
