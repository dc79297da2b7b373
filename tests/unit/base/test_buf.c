#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static int fails_in = -1; /* the realloc that answers NULL: 0 is the next one */

static void *failing_realloc(void *p, size_t n)
{
    return fails_in-- == 0 ? NULL : realloc(p, n);
}

#define realloc failing_realloc
#include "base/buf.c"
#undef realloc

static void assert_json(const char *bytes, size_t n, const char *expected)
{
    mti_buf b;
    mti_buf_init(&b, 1000);
    assert_int_equal(mti_buf_add_json(&b, (mt_slice){bytes, n}), MT_OK);
    assert_string_equal(b.p, expected);
    mti_buf_dispose(&b);
}

static void test_adds(void **state)
{
    mti_buf b;
    mti_buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(mti_buf_addf(&b, "%d,", i % 10), MT_OK);
    assert_int_equal(b.len, 2000);
    assert_int_equal(strlen(b.p), 2000);
    mti_buf_clear(&b);
    mti_buf_addc(&b, 'a');
    mti_buf_adds(&b, "bc");
    mti_buf_add(&b, "defg", 2);
    assert_string_equal(b.p, "abcde");
    mti_buf_dispose(&b);
    assert_null(b.p);
}

static void test_maximum_is_its_own_error_and_sticks(void **state)
{
    mti_buf b;
    mti_buf_init(&b, 10);
    assert_int_equal(mti_buf_adds(&b, "0123456789"), MT_OK);
    assert_int_equal(mti_buf_addc(&b, 'x'), MT_TOO_LARGE);
    assert_int_equal(mti_buf_add(&b, "", 0), MT_TOO_LARGE);
    assert_string_equal(b.p, "0123456789");
    mti_buf_clear(&b);
    assert_int_equal(mti_buf_addf(&b, "%s", "01234567890"), MT_TOO_LARGE);
    mti_buf_clear(&b);
    assert_int_equal(mti_buf_adds(&b, "ok"), MT_OK);
    assert_int_equal(mti_buf_reserve(&b, SIZE_MAX), MT_TOO_LARGE);
    mti_buf_dispose(&b);
}

static void test_json_strings(void **state)
{
    assert_json("", 0, "\"\"");
    assert_json("a\"b\\c/\n\t\b\f\r\x01\x1f", 13, "\"a\\\"b\\\\c/\\n\\t\\b\\f\\r\\u0001\\u001f\"");
    assert_json("\0", 1, "\"\\u0000\"");
    assert_json("\xC5\xA1\xE2\x82\xAC\xF0\x9F\x98\x80", 9,
                "\"\xC5\xA1\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    assert_json("a\xFF"
                "b\xC0\x80",
                5,
                "\"a\xEF\xBF\xBD"
                "b\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_json("\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void test_files(void **state)
{
    char path[] = "/tmp/mortise-buf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    mti_buf b;
    assert_int_equal(mti_buf_read_file(&b, path, 5), MT_OK);
    assert_string_equal(b.p, "hello");
    mti_buf_dispose(&b);
    assert_int_equal(mti_buf_read_file(&b, path, 4), MT_TOO_LARGE);
    mti_buf_dispose(&b);
    unlink(path);
    assert_int_equal(mti_buf_read_file(&b, path, 4), MT_NOT_FOUND);
    mti_buf_dispose(&b);
    assert_int_equal(mti_buf_read_file(&b, "/", 4096 * 16), MT_INTERNAL);
    assert_int_equal(errno, EISDIR);
    mti_buf_dispose(&b);
    /* a file that does not say its size */
    assert_int_equal(mti_buf_read_file(&b, "/proc/self/status", 1 << 20), MT_OK);
    assert_true(b.len > 100);
    mti_buf_dispose(&b);
    assert_int_equal(mti_buf_read_file(&b, "/proc/self/status", 100), MT_TOO_LARGE);
    mti_buf_dispose(&b);
}

static void test_every_allocation_fails_once(void **state)
{
    for (int fail = 0; fail < 12; fail++) {
        mti_buf b;
        mti_buf_init(&b, 1 << 20);
        fails_in = fail;
        mt_status status = MT_OK;
        for (int i = 0; i < 20000; i++)
            status = mti_buf_addc(&b, 'x');
        fails_in = -1;
        assert_int_equal(status, b.status);
        assert_int_equal(status, b.len == 20000 ? MT_OK : MT_NO_MEMORY);
        if (b.p)
            assert_int_equal(strlen(b.p), b.len);
        mti_buf_dispose(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds),
        cmocka_unit_test(test_maximum_is_its_own_error_and_sticks),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
