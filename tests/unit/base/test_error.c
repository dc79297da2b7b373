#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/error.h"

#include "base/utf8.h"

static void test_fills_and_answers(void **state)
{
    mti_error e;
    memset(&e, 0xAA, sizeof e);
    assert_int_equal(mti_fail(&e, MT_CONFLICT, "slug_taken", "'%s' is taken", "a"), MT_CONFLICT);
    assert_string_equal(e.code, "slug_taken");
    assert_string_equal(e.detail, "'a' is taken");
    assert_string_equal(e.pointer, "");
    assert_int_equal(mti_error_http(&e), 409);
    e.http = 428;
    assert_int_equal(mti_error_http(&e), 428);
    assert_int_equal(mti_fail(NULL, MT_TIMEOUT, "x", "y"), MT_TIMEOUT);
}

static void test_may_build_on_itself(void **state)
{
    mti_error e;
    mti_fail(&e, MT_INVALID, "bad", "inner");
    mti_fail(&e, MT_INTERNAL, e.code, "outer: %s", e.detail);
    assert_string_equal(e.code, "bad");
    assert_string_equal(e.detail, "outer: inner");
}

static void test_long_details_are_cut_between_characters(void **state)
{
    char text[1000];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4);
        mti_error e;
        mti_fail(&e, MT_INVALID, "x", "%s", text);
        assert_in_range(strlen(e.detail), sizeof e.detail - 4, sizeof e.detail - 1);
        assert_true(mti_utf8_valid(mt_str(e.detail)));
    }
}

static void test_every_status_has_a_name(void **state)
{
    for (int s = MT_OK; s <= MT_INTERNAL; s++) {
        assert_string_not_equal(mti_status_name(s), "unknown");
        assert_in_range(mti_error_http(&(mti_error){.status = s}), 200, 504);
    }
    assert_string_equal(mti_status_name(MT_NOT_FOUND), "not_found");
    assert_string_equal(mti_status_name((mt_status)99), "unknown");
    assert_int_equal(mti_error_http(&(mti_error){.status = (mt_status)99}), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_and_answers),
        cmocka_unit_test(test_may_build_on_itself),
        cmocka_unit_test(test_long_details_are_cut_between_characters),
        cmocka_unit_test(test_every_status_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
