/* An answer is proved only by what its cited passages hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cli/demo_check.h"

static const mt_slice passages[] = {
    MT_SLICE_INIT(
        "The project name is\npronounced Deb'-ee-en, with a short e. It comes from Debra and Ian."),
    MT_SLICE_INIT("Debian has three releases. Testing becomes stable."),
};

static mt_status check(const char *answer, char *why)
{
    mti_error e = {0};
    mt_status s = mti_demo_check(mt_str(answer), passages, 2, &e);
    strcpy(why, e.detail);
    return s;
}

static void holds(const char *answer)
{
    char why[400];
    if (check(answer, why) != MT_OK)
        fail_msg("refused: \"%s\": %s", answer, why);
}

static void lacks(const char *answer, const char *said)
{
    char why[400];
    assert_int_equal(check(answer, why), MT_INVALID);
    if (!strstr(why, said))
        fail_msg("\"%s\" does not say \"%s\"", why, said);
}

static void test_quotes_that_stand_there(void **state)
{
    holds("The project name is pronounced Deb'-ee-en, with a short e. [1]");
    holds("The project name is pronounced Deb'-ee-en, with a short e [1].");
    holds("\u201cIt comes from Debra and Ian.\u201d [1] Testing becomes stable. [2]");
    holds("The project name is pronounced Deb'-ee-en, with a short e. [1]\n\nDebian has three "
          "releases. [2]");
    holds("- Testing becomes stable. [1, 2]");
    holds("Testing becomes stable. [2][1]");
    holds("Testing becomes stable.");
    holds("It comes from Debra and Ian. The project name is pronounced Deb'-ee-en, with a short e. "
          "[1]");
    holds("Debian has three releases. \u2026 Testing becomes stable. [2]");
}

static void test_words_that_do_not(void **state)
{
    lacks("Debian is named after a city. [1]", "named after a city");
    lacks("Testing becomes stable. [1]", "Testing becomes stable");
    lacks("Testing becomes stable. It takes two years. [2]", "two years");
    lacks("Testing becomes stable. [2] And more besides.", "more besides");
    lacks("Testing becomes stable. [2] [3]", "cites [3]");
    lacks("Testing becomes stable. [0]", "\"Testing");
    lacks("", "empty");
    lacks(" [1] ", "empty");
}

static void test_no_source_is_no_proof(void **state)
{
    mti_error e = {0};
    assert_int_equal(mti_demo_check(MT_SLICE("x"), NULL, 0, &e), MT_INVALID);
    assert_string_equal(e.code, "no_source");
}

static void test_brackets_that_are_no_marks(void **state)
{
    const mt_slice p[] = {MT_SLICE("Use apt [options] or [a1] or [] or [12345] or [1")};
    mti_error e = {0};
    assert_int_equal(mti_demo_check(p[0], p, 1, &e), MT_OK);
}

static void test_squeeze(void **state)
{
    mti_buf b;
    mti_buf_init(&b, 100);
    mti_squeeze(MT_SLICE(" \n a \t\r\n b  "), &b);
    assert_string_equal(b.p, "a b");
    mti_buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotes_that_stand_there),
        cmocka_unit_test(test_words_that_do_not),
        cmocka_unit_test(test_no_source_is_no_proof),
        cmocka_unit_test(test_brackets_that_are_no_marks),
        cmocka_unit_test(test_squeeze),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
