#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "json/uri.h"

static void assert_resolved(const char *base, const char *ref, const char *expected)
{
    mti_arena a;
    mti_arena_init(&a, 0);
    mt_slice got = mti_uri_resolve(&a, mt_str(base), mt_str(ref));
    assert_string_equal(mti_arena_strndup(&a, got.p, got.len), expected);
    mti_arena_dispose(&a);
}

/* The examples of RFC 3986 section 5.4 that have no fragment. */
static void test_examples_of_the_rfc(void **state)
{
    static const char *const rows[][2] = {
        {"g:h", "g:h"},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_resolved("http://a/b/c/d;p?q", rows[i][0], rows[i][1]);
}

static void test_without_a_base(void **state)
{
    assert_resolved("", "Agent", "Agent");
    assert_resolved("", "", "");
    assert_resolved("Agent", "Team", "Team");
    assert_resolved("urn:uuid:1", "urn:uuid:2", "urn:uuid:2");
}

static void test_split_and_decode(void **state)
{
    mti_arena a;
    mti_arena_init(&a, 0);
    mt_slice fragment, out;
    assert_int_equal(mti_uri_split(MT_SLICE("a/b#c"), &fragment).len, 3);
    assert_true(mt_slice_eq(fragment, MT_SLICE("c")));
    assert_int_equal(mti_uri_split(MT_SLICE("a/b"), &fragment).len, 3);
    assert_null(fragment.p);
    assert_true(mti_uri_decode(&a, MT_SLICE("a%25b%c5%A1"), &out));
    assert_true(mt_slice_eq(out, MT_SLICE("a%b\xC5\xA1")));
    assert_false(mti_uri_decode(&a, MT_SLICE("a%2"), &out));
    assert_false(mti_uri_decode(&a, MT_SLICE("a%2g"), &out));
    mti_arena_dispose(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_of_the_rfc),
        cmocka_unit_test(test_without_a_base),
        cmocka_unit_test(test_split_and_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
