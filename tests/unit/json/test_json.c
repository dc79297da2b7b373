#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "json/json.h"

static mt_status parse(const char *text, size_t len, mti_error *e)
{
    json_t *v;
    mt_status status = mti_json_parse((mt_slice){text, len}, 0, &v, e);
    assert_true((status == MT_OK) == (v != NULL));
    json_decref(v);
    return status;
}

static void test_accepts(void **state)
{
    static const char *const good[] = {"{}",
                                       "[]",
                                       "1",
                                       "-1.5e3",
                                       "\"a\"",
                                       "null",
                                       "true",
                                       " {\"a\" : [1,2]} ",
                                       "\"\\\\u0000\"",
                                       "9223372036854775807",
                                       "-9223372036854775808",
                                       "\"[[[[\""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(parse(good[i], strlen(good[i]), NULL), MT_OK);
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,\"a\":2}",
                                      "\"\xFF\"",
                                      "\"\xED\xA0\x80\"",
                                      "\"\\u0000\"",
                                      "{\"a\\u0000\":1}",
                                      "9223372036854775808",
                                      "1e400",
                                      "-1e400",
                                      "NaN",
                                      "01",
                                      "1 2",
                                      "'a'",
                                      "\"a",
                                      "\"\\",
                                      "\"\\ud800\"",
                                      "[1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mti_error e = {0};
        if (parse(bad[i], strlen(bad[i]), &e) != MT_INVALID)
            fail_msg("accepted: %s", bad[i]);
        assert_string_equal(e.code, "json_invalid");
        assert_int_equal(mti_error_http(&e), 400);
        assert_non_null(strstr(e.detail, "line 1, column "));
    }
    assert_int_equal(parse("[1,\0 2]", 7, NULL), MT_INVALID);
    assert_int_equal(parse("\"\0\"", 3, NULL), MT_INVALID);
}

static void test_says_where(void **state)
{
    mti_error e;
    static const char text[] = "{\n  \"a\": 1,\n  \"b\": \"x\\u0000\"}";
    assert_int_equal(parse(text, strlen(text), &e), MT_INVALID);
    assert_string_equal(e.detail, "line 3, column 10: the character U+0000 is not allowed");
    assert_int_equal(parse("{\n  \"a\": x}", 12, &e), MT_INVALID);
    assert_non_null(strstr(e.detail, "line 2, column "));
}

static void test_depth(void **state)
{
    char text[4000];
    for (size_t depth = 1; depth < 1000; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(parse(text, 2 * depth, NULL), depth <= 64 ? MT_OK : MT_INVALID);
    }
    json_t *v;
    assert_int_equal(mti_json_parse(MT_SLICE("[[]]"), 1, &v, NULL), MT_INVALID);
    assert_int_equal(mti_json_parse(MT_SLICE("[[],[],[\"[[[\"]]"), 2, &v, NULL), MT_OK);
    json_decref(v);
}

static void test_dump_round_trip(void **state)
{
    static const char text[] =
        "{\"z\":[1,-2,0.1,1e+300,1.0,true,false,null,\"\\\"\\n\xC5\xA1\"],\"a\":{},\"\":[]}";
    json_t *v;
    mti_buf b;
    mti_buf_init(&b, 1000);
    assert_int_equal(mti_json_parse(mt_str(text), 0, &v, NULL), MT_OK);
    assert_int_equal(mti_json_dump(v, &b), MT_OK);
    assert_string_equal(b.p, text);
    json_decref(v);
    mti_buf_dispose(&b);
}

static void test_dump_is_bounded(void **state)
{
    json_t *v = json_array();
    for (int i = 0; i < 300; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, v);
        v = outer;
    }
    mti_buf b;
    mti_buf_init(&b, 10000);
    assert_int_equal(mti_json_dump(v, &b), MT_TOO_LARGE);
    mti_buf_dispose(&b);
    json_decref(v);
}

static void test_getters(void **state)
{
    json_t *v;
    assert_int_equal(
        mti_json_parse(MT_SLICE("{\"s\":\"x\",\"i\":5,\"d\":1.5,\"b\":true}"), 0, &v, NULL), MT_OK);
    assert_true(mt_slice_eq(mti_json_get_string(v, "s", MT_SLICE("no")), MT_SLICE("x")));
    assert_true(mt_slice_eq(mti_json_get_string(v, "i", MT_SLICE("no")), MT_SLICE("no")));
    assert_int_equal(mti_json_get_int(v, "i", 7), 5);
    assert_int_equal(mti_json_get_int(v, "d", 7), 7);
    assert_true(mti_json_get_double(v, "d", 0) == 1.5);
    assert_true(mti_json_get_double(v, "i", 0) == 5);
    assert_true(mti_json_get_bool(v, "b", false));
    assert_true(mti_json_get_bool(v, "none", true));
    assert_null(mti_json_text(json_object_get(v, "i")).p);
    assert_int_equal(mti_json_get_int(NULL, "i", 9), 9);
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),         cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_says_where),      cmocka_unit_test(test_depth),
        cmocka_unit_test(test_dump_round_trip), cmocka_unit_test(test_dump_is_bounded),
        cmocka_unit_test(test_getters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
