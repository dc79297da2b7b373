/* Versions and ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "plugin/manifest.h"

static void test_ranges(void **state)
{
    static const struct {
        const char *range, *yes, *no;
    } rows[] = {
        {"*", "0.0.0 1.2.3 9.9.9-alpha", ""},
        {"1.2.3", "1.2.3 1.2.3+build", "1.2.4 1.2.2 1.2.3-rc 0.2.3"},
        {"1.2.3-rc.1", "1.2.3-rc.1 1.2.3-rc.1+x", "1.2.3 1.2.3-rc.2 1.2.3-rc"},
        {"1.2", "1.2.0 1.2.9", "1.3.0 1.1.9 2.2.0"},
        {"1", "1.0.0 1.9.9", "0.9.9 2.0.0"},
        {"^1.2.3", "1.2.3 1.2.4 1.3.0 1.99.0", "1.2.2 1.2.3-rc 2.0.0 0.9.9 2.0.0-alpha"},
        {"^1.2", "1.2.0 1.9.0", "1.1.9 2.0.0"},
        {"^1", "1.0.0 1.9.0", "0.9.9 2.0.0"},
        {"^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0 1.2.3"},
        {"^0.2", "0.2.0 0.2.9", "0.1.9 0.3.0 1.2.0"},
        {"^0.0.3", "0.0.3", "0.0.2 0.0.4 0.1.0 1.0.3"},
        {"^0.0", "0.0.0 0.0.9", "0.1.0 1.0.0"},
        {"^0", "0.0.0 0.9.9", "1.0.0"},
        {"~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0 2.2.3"},
        {"~1.2", "1.2.0 1.2.9", "1.1.9 1.3.0"},
        {"~1", "1.0.0 1.9.9", "0.9.9 2.0.0"},
        {">=1.0", "1.0.0 1.0.1 2.0.0 10.0.0", "0.9.9 1.0.0-rc"},
        {">=1.2.3-rc.2", "1.2.3-rc.2 1.2.3-rc.10 1.2.3", "1.2.3-rc.1 1.2.2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int side = 0; side < 2; side++) {
            char list[128], *rest, *version;
            snprintf(list, sizeof list, "%s", side ? rows[i].no : rows[i].yes);
            for (version = strtok_r(list, " ", &rest); version;
                 version = strtok_r(NULL, " ", &rest))
                if (mti_semver_match(version, rows[i].range) == side)
                    fail_msg("%s %s %s", version, side ? "matches" : "does not match",
                             rows[i].range);
        }
}

static void test_malformed(void **state)
{
    static const char *const versions[] = {"",         "a",      "1.",     "1.2.",   "1.2.3.",
                                           "1.2.3.4",  ".1",     "1..2",   "-1.0.0", "1.0.0-",
                                           "1.0.0-+b", "1.0.0 ", " 1.0.0", "v1.0.0", "1.0.0_1"};
    static const char *const ranges[] = {
        "",    "a",       "^",     "~",   ">=", ">1.0.0", "<2.0.0", "^a",
        "1.x", "^1.2.3.", "1 - 2", "^ 1", "**", "=1.0.0", "^^1"};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (mti_semver_match(versions[i], "*") || mti_semver_match(versions[i], ">=0"))
            fail_msg("version \"%s\" is taken", versions[i]);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (mti_semver_match("1.0.0", ranges[i]))
            fail_msg("range \"%s\" is taken", ranges[i]);
}

/* The example of semver.org's rule 11, and what surrounds it: each is below the next. */
static void test_order(void **state)
{
    static const char *const rising[] = {
        "0.9.9",      "1.0.0-0",      "1.0.0-alpha",   "1.0.0-alpha.1",  "1.0.0-alpha.beta",
        "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",     "1.0.0",
        "1.0.1",      "1.2.0",        "1.10.0",        "2.0.0-x.7.z.92", "2.0.0",
        "10.0.0"};
    int n = sizeof rising / sizeof *rising;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            int want = (i > k) - (i < k);
            if (mti_semver_compare(rising[i], rising[k]) != want)
                fail_msg("%s against %s is %d", rising[i], rising[k],
                         mti_semver_compare(rising[i], rising[k]));
        }
    assert_int_equal(mti_semver_compare("1.0.0+a", "1.0.0+b"), 0);
    assert_int_equal(mti_semver_compare("1.0.0-rc+a", "1.0.0-rc+b"), 0);
    assert_int_equal(
        mti_semver_compare("1.0.0-99999999999999999999", "1.0.0-100000000000000000000"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges),
                                       cmocka_unit_test(test_malformed),
                                       cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
