/* What is read from a head; the rest is tested with each format and end to end. */
#include "llm_wire/upstream.h"

#include <mortise/entry.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_how_long_to_wait(void **state)
{
    static const struct { const char *text; int64_t ms; } cases[] = {
        {"1", 1000}, {"0.5", 500}, {"2s", 2000}, {"250ms", 250}, {"6m0s", 360000}, {"1h", 3600000}, {"1m30.5s", 90500}, {"", 0}, {"-1", 0}, {"0", 0},
        {"Wed, 21 Oct 2026 07:28:00 GMT", 0}, {"soon", 0}, {"5x", 0}, {"..", 0}, {"999999999999", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(upstream_wait_ms(mt_str(cases[i].text)), cases[i].ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_how_long_to_wait)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
