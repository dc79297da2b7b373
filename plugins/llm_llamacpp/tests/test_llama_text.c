#include "support.h"
#include "text_out.h"

/* Gives text in pieces of n bytes; every delivery must be whole characters. */
static char *through(text_out *t, const char *text, size_t n)
{
    char *out = NULL;
    size_t len = 0;
    for (size_t i = 0, all = strlen(text); i < all && !t->stopped; i += n) {
        assert_int_equal(text_out_put(t, text + i, i + n < all ? n : all - i), MT_OK);
        assert_int_equal(text_out_take(t, &out, &len), MT_OK);
        if (len)
            assert_true(((unsigned char)out[len - 1] & 0xC0) != 0xC0);
    }
    text_out_end(t);
    assert_int_equal(text_out_take(t, &out, &len), MT_OK);
    out = realloc(out, len + 1);
    out[len] = 0;
    text_out_dispose(t);
    return out;
}

static void expect(const char *text, const char *stop, const char *want)
{
    for (size_t n = 1; n < 8; n++) {
        text_out t = {0};
        if (stop)
            assert_int_equal(text_out_add_stop(&t, mt_str(stop)), MT_OK);
        char *got = through(&t, text, n);
        assert_string_equal(got, want);
        free(got);
    }
}

static void test_characters_stay_whole(void **state)
{
    expect("aé€😀z", NULL, "aé€😀z");
    text_out t = {0};
    char *out = NULL;
    size_t len = 0;
    text_out_put(&t, "x\xF0\x9F\x98", 4);
    text_out_take(&t, &out, &len);
    assert_int_equal(len, 1);           /* the character waits for its last byte */
    text_out_put(&t, "\x80", 1);
    text_out_take(&t, &out, &len);
    assert_memory_equal(out, "x😀", 5);
    free(out);
    text_out_dispose(&t);
}

static void test_what_is_no_character(void **state)
{
    expect("a\xFF" "b\xC3(", NULL, "a\xEF\xBF\xBD" "b\xEF\xBF\xBD(");
    expect("a\xED\xA0\x80" "b", NULL, "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" "b");     /* a surrogate */
    expect("end\xE2\x82", NULL, "end"); /* half a character at the end */
}

static void test_stop_strings(void **state)
{
    expect("one STOP two", "STOP", "one ");
    expect("one STO two", "STOP", "one STO two");
    expect("one STSTOP", "STOP", "one ST");
    expect("one ST", "STOP", "one ST"); /* half of one is text when nothing more comes */
    expect("é€ends", "€", "é");
}

static void test_refused_stops(void **state)
{
    text_out t = {0};
    assert_int_equal(text_out_add_stop(&t, MT_SLICE("")), MT_INVALID);
    for (int i = 0; i < TEXT_OUT_STOPS; i++)
        assert_int_equal(text_out_add_stop(&t, MT_SLICE("x")), MT_OK);
    assert_int_equal(text_out_add_stop(&t, MT_SLICE("x")), MT_INVALID);
    text_out_dispose(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_characters_stay_whole), cmocka_unit_test(test_what_is_no_character),
                                       cmocka_unit_test(test_stop_strings), cmocka_unit_test(test_refused_stops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
