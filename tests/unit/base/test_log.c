#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int ends[2];
static char line[70000];

static int setup(void **state)
{
    return pipe2(ends, O_NONBLOCK);
}

static int teardown(void **state)
{
    mti_log_setup(STDERR_FILENO, MTI_LOG_INFO, MTI_LOG_LOGFMT);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* What one line says behind the time, without its newline. */
static const char *read_line(const char *behind)
{
    ssize_t n = read(ends[0], line, sizeof line - 1);
    assert_true(n > 0);
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = 0;
    const char *rest = strstr(line, behind);
    assert_non_null(rest);
    return rest;
}

static void test_logfmt(void **state)
{
    mti_log_setup(ends[1], MTI_LOG_INFO, MTI_LOG_LOGFMT);
    const char *volatile none = NULL; /* the compiler would refuse a NULL that it can see */
    errno = ENOENT;
    mti_log(MTI_LOG_INFO, "db.up",
            "version=%d ms=%.1f size=%zu name=%s cut=%.*s null=%s id=%ld why=%m u=%llu", -15, 2.25,
            (size_t)7, "two words", 2, "abc", none, 1L << 40, 5ULL);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(
        read_line("level="),
        "level=info event=db.up version=-15 ms=2.2 size=7 name=\"two words\" cut=ab null=null "
        "id=1099511627776 why=\"No such file or directory\" u=5");
}

static void test_json(void **state)
{
    mti_log_setup(ends[1], MTI_LOG_INFO, MTI_LOG_JSON);
    mti_log(MTI_LOG_WARN, "x.y", "n=%d s=%s f=%g", 3, "a\"b", 0.5);
    assert_string_equal(read_line("\"level\""),
                        "\"level\":\"warn\",\"event\":\"x.y\",\"n\":3,\"s\":\"a\\\"b\",\"f\":0.5}");
    assert_int_equal(line[0], '{');
}

static void test_fields(void **state)
{
    mti_log_setup(ends[1], MTI_LOG_DEBUG, MTI_LOG_LOGFMT);
    mt_field fields[] = {{MT_SLICE("a"), MT_SLICE("1")},
                         {MT_SLICE("b"), MT_SLICE("x=y\nz")},
                         {MT_SLICE("c"), {0}},
                         {MT_SLICE("d"), MT_SLICE("")}};
    mti_log_fields(MTI_LOG_DEBUG, "e", fields, 4);
    assert_string_equal(read_line("event="), "event=e a=1 b=\"x=y\\nz\" c=null d=\"\"");
}

static void test_levels(void **state)
{
    mti_log_setup(ends[1], MTI_LOG_WARN, MTI_LOG_LOGFMT);
    assert_false(mti_log_enabled(MTI_LOG_INFO));
    assert_true(mti_log_enabled(MTI_LOG_ERROR));
    mti_log(MTI_LOG_INFO, "quiet", "a=%d", 1);
    assert_int_equal(read(ends[0], line, sizeof line), -1);
}

static void test_long_values_are_cut(void **state)
{
    char *text = malloc(100001);
    memset(text, 'x', 100000);
    text[100000] = 0;
    mti_log_setup(ends[1], MTI_LOG_INFO, MTI_LOG_LOGFMT);
    mti_log(MTI_LOG_INFO, "e", "a=%s b=%d", text, 1);
    const char *rest = read_line(" a=");
    assert_int_equal(strspn(rest + 3, "x"), 2048);
    assert_string_equal(rest + 3 + 2048, " b=1");
    mt_field fields[50];
    for (int i = 0; i < 50; i++)
        fields[i] = (mt_field){MT_SLICE("f"), {text, 2000}};
    mti_log_fields(MTI_LOG_INFO, "e", fields, 50);
    read_line(" f=");
    assert_in_range(strlen(line), 60000, 65536);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_logfmt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_values_are_cut, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
