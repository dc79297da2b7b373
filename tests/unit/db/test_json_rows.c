/* The value writers, reached through the file's own statics; whole rows are tested against
 * PostgreSQL itself in tests/integration/db. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../../core/db/json_rows.c"

static void expect(unsigned type, const char *text, const char *json)
{
    mti_buf b;
    mti_buf_init(&b, 4096);
    if (mti_oid_element(type))
        add_array(&b, mti_oid_element(type), mt_str(text));
    else
        add_scalar(&b, type, mt_str(text));
    assert_string_equal(b.p, json);
    mti_buf_dispose(&b);
}

static void test_numbers(void **state)
{
    expect(OID_INT8, "9007199254740991", "9007199254740991");
    expect(OID_INT8, "9007199254740992", "\"9007199254740992\"");
    expect(OID_INT8, "-9007199254740992", "\"-9007199254740992\"");
    expect(OID_INT4, "-7", "-7");
    expect(OID_FLOAT8, "1e-07", "1e-07");
    expect(OID_FLOAT8, "NaN", "null");
    expect(OID_FLOAT4, "Infinity", "null");
    expect(OID_FLOAT4, "-Infinity", "null");
    expect(OID_NUMERIC, "10.50", "\"10.50\"");
    expect(OID_BOOL, "t", "true");
    expect(OID_BOOL, "f", "false");
}

static void test_times(void **state)
{
    expect(OID_TIMESTAMPTZ, "2026-01-02 03:04:05+00", "\"2026-01-02T03:04:05.000000Z\"");
    expect(OID_TIMESTAMPTZ, "2026-01-02 03:04:05.123456+00", "\"2026-01-02T03:04:05.123456Z\"");
    expect(OID_TIMESTAMPTZ, "2026-01-02 03:04:05.1+00", "\"2026-01-02T03:04:05.100000Z\"");
    expect(OID_TIMESTAMPTZ, "infinity", "null");
    expect(OID_TIMESTAMPTZ, "0044-03-15 12:00:00+00 BC", "null");
    expect(OID_TIMESTAMPTZ, "12026-01-02 03:04:05+00", "null");
    expect(OID_DATE, "2026-01-02", "\"2026-01-02\"");
    expect(OID_DATE, "-infinity", "null");
}

static void test_bytes_and_texts(void **state)
{
    expect(OID_BYTEA, "\\x", "\"\"");
    expect(OID_BYTEA, "\\x00", "\"AA==\"");
    expect(OID_BYTEA, "\\x00ff", "\"AP8=\"");
    expect(OID_BYTEA, "\\x00FF10ab", "\"AP8Qqw==\"");
    expect(OID_TEXT, "a\"\n", "\"a\\\"\\n\"");
    expect(OID_JSONB, "{\"a\": 1}", "{\"a\": 1}");
}

static void test_arrays(void **state)
{
    expect(1009, "{}", "[]");
    expect(1009, "{a,\"b,c\",NULL,\"NULL\",\"\",\"q\\\"\\\\\"}",
           "[\"a\",\"b,c\",null,\"NULL\",\"\",\"q\\\"\\\\\"]");
    expect(1007, "{1,2,NULL}", "[1,2,null]");
    expect(1000, "{t,f}", "[true,false]");
    expect(1009, "{{a},{b}}", "null");
    expect(1009, "[0:1]={a,b}", "null");
    expect(3807, "{\"{\\\"a\\\": 1}\"}", "[{\"a\": 1}]");
    assert_string_equal(mti_rows_json_type(1009), "array");
    assert_string_equal(mti_rows_json_type(OID_JSONB), "json");
    assert_null(mti_rows_json_type(600)); /* point */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_times),
                                       cmocka_unit_test(test_bytes_and_texts),
                                       cmocka_unit_test(test_arrays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
