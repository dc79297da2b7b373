#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "json/writer.h"

#include <float.h>
#include <math.h>

static int fails_in = -1; /* the realloc that answers NULL: 0 is the next one */

static void *failing_realloc(void *p, size_t n)
{
    return fails_in-- == 0 ? NULL : realloc(p, n);
}

#define realloc failing_realloc
#include "base/buf.c"
#undef realloc

static void test_shapes(void **state)
{
    mti_buf b;
    mti_buf_init(&b, 10000);
    mti_writer w;
    mti_writer_init(&w, &b);
    mti_writer_object(&w);
    mti_writer_key_string(&w, "s", MT_SLICE("a\"b"));
    mti_writer_key_string(&w, "none", (mt_slice){0});
    mti_writer_key(&w, MT_SLICE("list"));
    mti_writer_array(&w);
    mti_writer_int(&w, 0);
    mti_writer_int(&w, INT64_MIN);
    mti_writer_int(&w, INT64_MAX);
    mti_writer_bool(&w, true);
    mti_writer_null(&w);
    mti_writer_array(&w);
    mti_writer_array_end(&w);
    mti_writer_object(&w);
    mti_writer_object_end(&w);
    mti_writer_array_end(&w);
    mti_writer_key_int(&w, "i", -7);
    mti_writer_key_bool(&w, "b", false);
    mti_writer_key(&w, MT_SLICE("raw"));
    mti_writer_raw(&w, MT_SLICE("{\"x\":1}"));
    mti_writer_object_end(&w);
    assert_int_equal(b.status, MT_OK);
    assert_string_equal(
        b.p, "{\"s\":\"a\\\"b\",\"none\":null,\"list\":[0,-9223372036854775808,9223372036854775807,"
             "true,null,[],{}],\"i\":-7,\"b\":false,\"raw\":{\"x\":1}}");
    mti_buf_dispose(&b);
}

static void test_doubles_read_back_equal(void **state)
{
    static const struct {
        double v;
        const char *text;
    } known[] = {{0, "0.0"},      {1, "1.0"},    {-0.1, "-0.1"},
                 {1e21, "1e+21"}, {NAN, "null"}, {INFINITY, "null"}};
    mti_buf b;
    mti_writer w;
    mti_buf_init(&b, 1000);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        mti_buf_clear(&b);
        mti_writer_init(&w, &b);
        mti_writer_double(&w, known[i].v);
        assert_string_equal(b.p, known[i].text);
    }
    double v = DBL_MIN;
    for (int i = 0; i < 2000; i++, v *= 2.0371) {
        mti_buf_clear(&b);
        mti_writer_init(&w, &b);
        mti_writer_double(&w, v);
        assert_true(isinf(v) || strtod(b.p, NULL) == v);
    }
    mti_buf_dispose(&b);
}

static void write_much(mti_writer *w)
{
    mti_writer_array(w);
    for (int i = 0; i < 500; i++) {
        mti_writer_object(w);
        mti_writer_key_int(w, "n", i);
        mti_writer_key_string(w, "text", MT_SLICE("line\none"));
        mti_writer_object_end(w);
    }
    mti_writer_array_end(w);
}

static void test_every_allocation_fails_once(void **state)
{
    int refused = 0;
    for (int fail = 0; fail < 12; fail++) {
        mti_buf b;
        mti_writer w;
        mti_buf_init(&b, 1 << 20);
        mti_writer_init(&w, &b);
        fails_in = fail;
        write_much(&w);
        fails_in = -1;
        assert_true(b.status == MT_OK || b.status == MT_NO_MEMORY);
        refused += b.status == MT_NO_MEMORY;
        mti_buf_dispose(&b);
    }
    assert_in_range(refused, 5, 11);
}

static void test_limit_sticks(void **state)
{
    mti_buf b;
    mti_writer w;
    mti_buf_init(&b, 100);
    mti_writer_init(&w, &b);
    write_much(&w);
    assert_int_equal(b.status, MT_TOO_LARGE);
    mti_buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_doubles_read_back_equal),
        cmocka_unit_test(test_every_allocation_fails_once),
        cmocka_unit_test(test_limit_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
