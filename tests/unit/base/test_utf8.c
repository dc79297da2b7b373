#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/utf8.h"

static void encode(uint32_t c, char out[5], size_t *n)
{
    if (c < 0x80) {
        out[0] = (char)c;
        *n = 1;
    } else if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        *n = 2;
    } else if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        *n = 3;
    } else {
        out[0] = (char)(0xF0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 63));
        out[2] = (char)(0x80 | (c >> 6 & 63));
        out[3] = (char)(0x80 | (c & 63));
        *n = 4;
    }
}

static void test_every_code_point(void **state)
{
    for (uint32_t c = 0; c < 0x120000; c++) {
        char text[5];
        size_t n;
        encode(c, text, &n);
        bool good = c < 0x110000 && !(c >= 0xD800 && c < 0xE000);
        if (mti_utf8_len(text, n) != (good ? n : 0))
            fail_msg("U+%04X", c);
        if (n > 1 && mti_utf8_len(text, n - 1) != 0)
            fail_msg("U+%04X cut short", c);
    }
}

static void test_overlong_forms_are_refused(void **state)
{
    assert_int_equal(mti_utf8_len("\xC0\x80", 2), 0);
    assert_int_equal(mti_utf8_len("\xC1\xBF", 2), 0);
    assert_int_equal(mti_utf8_len("\xE0\x9F\xBF", 3), 0);
    assert_int_equal(mti_utf8_len("\xF0\x8F\xBF\xBF", 4), 0);
    assert_int_equal(mti_utf8_len("\x80", 1), 0);
    assert_int_equal(mti_utf8_len("", 0), 0);
}

static void test_counting_and_cutting(void **state)
{
    mt_slice s = MT_SLICE("a\xC5\xA1\xE2\x82\xAC\xF0\x9F\x98\x80");
    assert_int_equal(mti_utf8_count(s), 4);
    assert_int_equal(mti_utf8_count(MT_SLICE("\xFF\xFE")), 2);
    static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t max = 0; max < 12; max++)
        assert_int_equal(mti_utf8_cut(s, max), cuts[max]);
    assert_true(mti_utf8_valid(s));
    assert_false(mti_utf8_valid(MT_SLICE("a\xC5")));
    /* wherever it stands among the eights that are looked at together */
    for (size_t i = 0; i < 20; i++) {
        char text[20];
        memset(text, 'a', sizeof text);
        assert_true(mti_utf8_valid((mt_slice){text, sizeof text}));
        text[i] = '\xFF';
        assert_false(mti_utf8_valid((mt_slice){text, sizeof text}));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_overlong_forms_are_refused),
        cmocka_unit_test(test_counting_and_cutting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
