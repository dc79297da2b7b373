#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/demo_check.h"

static const char quote[] = "The last keepers left the Fastnet lighthouse in 1989, when the light was automated. Naïve café.";

static const char *code_of(const char *sentence)
{
    static mti_error e;
    e = (mti_error){0};
    mt_status s = mti_demo_check(mt_str(sentence), mt_str(quote), &e);
    assert_int_equal(s == MT_OK, e.code[0] == 0);
    return e.code;
}

static void test_words_and_numbers(void **state)
{
    assert_string_equal(code_of(quote), "");
    assert_string_equal(code_of("In 1989 the last keepers LEFT."), "");
    assert_string_equal(code_of("Automatic light made keepers leave."), "");      /* automa…, light, keeper… of five */
    assert_string_equal(code_of("The last keepers left in 1979."), "not_in_quote");
    assert_string_equal(code_of("The last keepers left in 198."), "not_in_quote");
    assert_string_equal(code_of("The last keepers left in 19891."), "not_in_quote");
    assert_string_equal(code_of("Penguins swim across cold southern oceans."), "not_in_quote");
    assert_string_equal(code_of("It is so."), "no_words");
    assert_string_equal(code_of(""), "no_words");
    assert_string_equal(code_of("café"), "");
}

static void assert_part(int64_t start, int64_t end, const char *wanted)
{
    mt_slice part = mti_demo_part(MT_SLICE("Naïve café"), start, end);
    assert_int_equal(part.len, strlen(wanted));
    assert_memory_equal(part.p, wanted, part.len);
}

static void test_parts(void **state)
{
    assert_part(0, 5, "Naïve");
    assert_part(6, 10, "café");
    assert_part(9, 99, "é");
    assert_part(20, 30, "");
    assert_part(3, 2, "");
    assert_part(0, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words_and_numbers), cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
