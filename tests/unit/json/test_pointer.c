#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "json/json.h"

static json_t *tree;

static int setup(void **state)
{
    return mti_json_parse(
        MT_SLICE("{\"a\":{\"b\":[10,20,{\"c\":3}]},\"\":1,\"x/y\":2,\"m~n\":3,\"-\":4}"), 0, &tree,
        NULL);
}

static int teardown(void **state)
{
    json_decref(tree);
    return 0;
}

static void assert_tree(const char *expected)
{
    mti_buf b;
    mti_buf_init(&b, 10000);
    mti_json_dump(tree, &b);
    assert_string_equal(b.p, expected);
    mti_buf_dispose(&b);
}

static long at(const char *pointer)
{
    json_t *v = mti_json_at(tree, mt_str(pointer));
    return json_is_integer(v) ? (long)json_integer_value(v) : v ? -1 : -2;
}

static void test_at(void **state)
{
    assert_int_equal(at(""), -1);
    assert_int_equal(at("/"), 1);
    assert_int_equal(at("/x~1y"), 2);
    assert_int_equal(at("/m~0n"), 3);
    assert_int_equal(at("/-"), 4);
    assert_int_equal(at("/a/b/1"), 20);
    assert_int_equal(at("/a/b/2/c"), 3);
    static const char *const none[] = {
        "a",       "/b",     "/a/b/3", "/a/b/01", "/a/b/-",
        "/a/b/1/", "/a/b/x", "/m~",    "/m~2n",   "/a/b/99999999999999999999"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(at(none[i]), -2);
}

static void test_set(void **state)
{
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/a/b/0"), json_integer(11), NULL), MT_OK);
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/a/b/-"), json_true(), NULL), MT_OK);
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/a/n~1w"), json_string("s"), NULL), MT_OK);
    assert_tree(
        "{\"a\":{\"b\":[11,20,{\"c\":3},true],\"n/w\":\"s\"},\"\":1,\"x/y\":2,\"m~n\":3,\"-\":4}");
    assert_int_equal(mti_json_set_at(&tree, (mt_slice){0}, json_integer(1), NULL), MT_OK);
    assert_tree("1");
}

static void test_set_refuses(void **state)
{
    mti_error e;
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/no/x"), json_integer(1), &e), MT_NOT_FOUND);
    assert_string_equal(e.code, "pointer_not_found");
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/a/b/3"), json_integer(1), &e), MT_NOT_FOUND);
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/a/b/x"), json_integer(1), &e), MT_INVALID);
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("a"), json_integer(1), &e), MT_INVALID);
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/a/~"), json_integer(1), &e), MT_INVALID);
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/-/x"), json_integer(1), &e), MT_NOT_FOUND);
    assert_int_equal(mti_json_set_at(&tree, MT_SLICE("/a"), NULL, &e), MT_NO_MEMORY);
    assert_int_equal(
        mti_json_set_at(&tree, MT_SLICE("/a/self"), json_incref(json_object_get(tree, "a")), &e),
        MT_INVALID);
}

static void test_remove(void **state)
{
    assert_int_equal(mti_json_remove_at(tree, MT_SLICE("/a/b/0"), NULL), MT_OK);
    assert_int_equal(mti_json_remove_at(tree, MT_SLICE("/x~1y"), NULL), MT_OK);
    assert_int_equal(mti_json_remove_at(tree, MT_SLICE("/x~1y"), NULL), MT_NOT_FOUND);
    assert_int_equal(mti_json_remove_at(tree, MT_SLICE("/a/b/-"), NULL), MT_NOT_FOUND);
    assert_int_equal(mti_json_remove_at(tree, (mt_slice){0}, NULL), MT_INVALID);
    assert_tree("{\"a\":{\"b\":[20,{\"c\":3}]},\"\":1,\"m~n\":3,\"-\":4}");
}

static void test_add_token(void **state)
{
    mti_buf b;
    mti_buf_init(&b, 100);
    mti_json_pointer_add(&b, MT_SLICE("a/b~c"));
    assert_int_equal(mti_json_pointer_add(&b, MT_SLICE("0")), MT_OK);
    assert_string_equal(b.p, "/a~1b~0c/0");
    mti_buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        cmocka_unit_test(test_add_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
