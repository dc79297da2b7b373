#include "key_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static const unsigned char bytes[KEY_RANDOM] = {
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};

static void test_text(void **state)
{
    key_text k;
    assert_true(key_text_make(&k, MT_SLICE("sk_live_"), false, bytes));
    assert_string_equal(k.text, "sk_live_AAECAwQFBgcICQoLDA0OD_Dx8vP09fb3-Pn6-_z9_v8");
    assert_int_equal(k.len, 8 + 43);
    assert_int_equal(k.shown, 13);
}

static void test_prefixes(void **state)
{
    char longest[65];
    key_text k;
    assert_true(key_text_make(&k, MT_SLICE("sk_live_"), true, bytes));
    assert_memory_equal(k.text, "sk_test_AAEC", 12);
    assert_true(key_text_make(&k, MT_SLICE("apikey_live_"), true, bytes));
    assert_memory_equal(k.text, "apikey_test_AAEC", 16);
    assert_true(key_text_make(&k, MT_SLICE("own_"), true, bytes));
    assert_memory_equal(k.text, "own_AAEC", 8);
    memset(longest, 'x', sizeof longest);
    assert_true(key_text_make(&k, (mt_slice){longest, 64}, false, bytes));
    assert_int_equal(strlen(k.text), 64 + 43);
    assert_false(key_text_make(&k, (mt_slice){longest, 65}, false, bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_prefixes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
