/* Where a value stands in its text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "json/place.h"

static const char text[] = "{ \"a\": 1,\n"
                           "  \"b\": { \"c\": [10, \"},\\\"]\", {\"d\": null}, []],\n"
                           "\t\"x/y\": true, \"m~n\": -1.5e3, \"\": 2 },\n"
                           "  \"\xc4\x8d\": \"\xc4\x8d\", \"e\\\"q\": [\n"
                           "    [1],\n"
                           "    2] }";

static void at(const char *json, const char *pointer, int line, int column)
{
    mti_place p = mti_json_place(mt_str(json), mt_str(pointer));
    if (p.line != line || p.column != column)
        fail_msg("\"%s\" is at %d:%d, not %d:%d", pointer, p.line, p.column, line, column);
}

static void test_finds_keys_and_items(void **state)
{
    at(text, "", 1, 1);
    at(text, "/a", 1, 3);
    at(text, "/b", 2, 3);
    at(text, "/b/c", 2, 10);
    at(text, "/b/c/0", 2, 16);
    at(text, "/b/c/1", 2, 20);
    at(text, "/b/c/2/d", 2, 30);
    at(text, "/b/c/3", 2, 42);
    at(text, "/b/x~1y", 3, 2);
    at(text, "/b/m~0n", 3, 15);
    at(text, "/b/", 3, 30);
    at(text, "/e\"q/0/0", 5, 6);
    at(text, "/e\"q/1", 6, 5);
}

static void test_counts_characters(void **state)
{
    at(text, "/\xc4\x8d", 4, 3);
    at(text, "/e\"q", 4, 13);
}

static void test_goes_as_far_as_the_pointer_leads(void **state)
{
    at(text, "/b/none/deeper", 2, 3);
    at(text, "/b/c/9", 2, 10);
    at(text, "/b/c/x", 2, 10);
    at(text, "/a/b", 1, 3);
    at(text, "none", 1, 1);
    at(text, "/", 1, 1);
}

static void test_reads_what_is_no_json(void **state)
{
    static const char *const broken[] = {"", " ", "{", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":[", "{\"a\":[1,", "{\"a\" 1}", "{\"a\":\"\\", "[[[[", "]}", "{\"b\":}", "\\\"", "{\"b\":1 \"a\":2}"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char *copy = malloc(strlen(broken[i]) + 1);     /* no byte behind it: AddressSanitizer watches */
        memcpy(copy, broken[i], strlen(broken[i]));
        mti_place p = mti_json_place((mt_slice){copy, strlen(broken[i])}, MT_SLICE("/a/0/b"));
        assert_true(p.line == 1 && p.column >= 1 && p.column <= (int)strlen(broken[i]) + 1);
        free(copy);
    }
}

static void test_deep_nesting_needs_no_stack(void **state)
{
    enum { N = 1 << 20 };
    char *deep = malloc(N + 10);
    memset(deep, '[', N);
    memcpy(deep + N, "]", 2);
    at(deep, "/1", 1, 1);
    at(deep, "/0/0", 1, 3);
    free(deep);
}

static void test_a_refusal_begins_with_the_place(void **state)
{
    char dir[] = "/tmp/mortise-place-XXXXXX", path[64];
    mti_error e;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/api.json", dir);
    FILE *f = fopen(path, "w");
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    assert_int_equal(mti_json_refuse(dir, "api.json", MT_SLICE("/b/c"), &e, "some_code", "%s is wrong", "c"), MT_INVALID);
    assert_string_equal(e.detail, "api.json:2:10: c is wrong");
    assert_string_equal(e.code, "some_code");
    unlink(path);
    rmdir(dir);
    mti_json_refuse(dir, "api.json", MT_SLICE("/b/c"), &e, "some_code", "gone");
    assert_string_equal(e.detail, "api.json: gone");
    mti_json_refuse(NULL, "api.json", MT_SLICE("/b/c"), &e, "some_code", "nowhere");
    assert_string_equal(e.detail, "api.json: nowhere");
}

static void test_a_syntax_error_has_the_same_form(void **state)
{
    json_t *v;
    mti_error e;
    assert_int_equal(mti_json_parse_file("plugin.json", MT_SLICE("{\n  \"a\": tru }"), &v, &e), MT_INVALID);
    assert_ptr_equal(strstr(e.detail, "plugin.json:2:"), e.detail);
    assert_int_equal(mti_json_parse_file("plugin.json", MT_SLICE("{\n \"a\": \"\\u0000\"}"), &v, &e), MT_INVALID);
    assert_string_equal(e.detail, "plugin.json:2:8: the character U+0000 is not allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_keys_and_items),
        cmocka_unit_test(test_counts_characters),
        cmocka_unit_test(test_goes_as_far_as_the_pointer_leads),
        cmocka_unit_test(test_reads_what_is_no_json),
        cmocka_unit_test(test_deep_nesting_needs_no_stack),
        cmocka_unit_test(test_a_refusal_begins_with_the_place),
        cmocka_unit_test(test_a_syntax_error_has_the_same_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
