/* The SDK's inline helpers, as a plugin sees them: behind mt_bind with a host that grants nothing
 * but memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <mortise/entry.h>

#include "base/arena.h"
#include "json/json.h"

static mti_arena arena;

static const void *host_get(void *ctx, mt_slice id)
{
    return NULL;
}

static void *host_alloc(mt_call *c, size_t bytes)
{
    return mti_arena_try_alloc(&arena, bytes);
}

static int setup(void **state)
{
    static const mt_host host = {
        .size = sizeof host, .abi = MT_ABI, .get = host_get, .alloc = host_alloc};
    mti_arena_init(&arena, 1 << 20);
    mt_bind(&host);
    return 0;
}

static int teardown(void **state)
{
    mti_arena_dispose(&arena);
    return 0;
}

static void assert_json(mt_writer *w, const char *want)
{
    mt_slice got;
    assert_int_equal(mt_write_end(w, &got), MT_OK);
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.p, want, got.len);
    json_t *v;
    assert_int_equal(mti_json_parse(got, 0, &v, NULL), MT_OK);
    json_decref(v);
}

static void containers(void **state)
{
    mt_writer w = mt_write_begin(NULL);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "a", MT_SLICE("x\"\\\n\t\x01\xc3\xa9"));
    mt_write_array(&w, "b");
    mt_write_int(&w, NULL, INT64_MIN);
    mt_write_bool(&w, NULL, true);
    mt_write_object(&w, NULL);
    mt_write_close(&w);
    mt_write_array(&w, NULL);
    mt_write_close(&w);
    mt_write_close(&w);
    mt_write_text(&w, "c", (mt_slice){NULL, 0});
    mt_write_text(&w, "d", MT_SLICE(""));
    mt_write_raw(&w, "e", MT_SLICE("{\"k\":1}"));
    mt_write_close(&w);
    assert_json(
        &w, "{\"a\":\"x\\\"\\\\\\n\\u0009\\u0001\xc3\xa9\",\"b\":[-9223372036854775808,true,{},[]],"
            "\"c\":null,\"d\":\"\",\"e\":{\"k\":1}}");
}

static void numbers(void **state)
{
    mt_writer w = mt_write_begin(NULL);
    mt_write_array(&w, NULL);
    mt_write_double(&w, NULL, 0.1);
    mt_write_double(&w, NULL, 1.0 / 3);
    mt_write_double(&w, NULL, NAN);
    mt_write_double(&w, NULL, -INFINITY);
    mt_write_close(&w);
    assert_json(&w, "[0.1,0.3333333333333333,null,null]");
}

static void mistakes_are_told(void **state)
{
    mt_slice json;
    mt_writer open = mt_write_begin(NULL), closed = open, empty = open, deep = open, large = open;
    mt_write_array(&open, NULL);
    assert_int_equal(mt_write_end(&open, &json), MT_INVALID);
    mt_write_close(&closed);
    assert_int_equal(mt_write_end(&closed, &json), MT_INVALID);
    assert_int_equal(mt_write_end(&empty, &json), MT_INVALID);
    for (int i = 0; i < 70; i++)
        mt_write_array(&deep, NULL);
    assert_int_equal(mt_write_end(&deep, &json), MT_TOO_LARGE);
    static char text[1 << 20];
    memset(text, 'x', sizeof text);
    mt_write_text(&large, NULL, (mt_slice){text, sizeof text});
    assert_int_equal(mt_write_end(&large, &json), MT_TOO_LARGE);
}

static void formatted_text(void **state)
{
    mt_slice s = mt_printf(NULL, "%d-%s", 7, "x");
    assert_int_equal(s.len, 3);
    assert_string_equal(s.p, "7-x");
}

static void calls_without_a_grant_are_answered(void **state)
{
    mt_handle h = 0;
    assert_int_equal(mt_db_query(NULL, MT_SLICE("q"), NULL, 0, &h), MT_DENIED);
    assert_int_equal(mt_db_rows(NULL, h), 0);
    assert_null(mt_param(NULL, MT_SLICE("id")).p);
    assert_false(mt_allowed(NULL, MT_SLICE("x")));
    assert_int_equal(mt_hook_deny(NULL, 403, MT_SLICE("x"), MT_SLICE("y")), MT_ERROR);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(containers), T(numbers), T(mistakes_are_told),
                                       T(formatted_text), T(calls_without_a_grant_are_answered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
