#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../core/http/fetch.c"

static void test_urls(void **state)
{
    assert_true(is_web_url("http://a/"));
    assert_true(is_web_url("HTTPS://a/"));
    assert_false(is_web_url(NULL));
    assert_false(is_web_url(""));
    assert_false(is_web_url("a.example"));
    assert_false(is_web_url("file:///etc/passwd"));
    assert_false(is_web_url("http://a/\r\nX: y"));
}

static void test_methods(void **state)
{
    assert_true(is_method("GET"));
    assert_true(is_method("PROPFIND"));
    assert_false(is_method(""));
    assert_false(is_method("get"));
    assert_false(is_method("GET /"));
    assert_false(is_method("GET\r\n"));
}

static void add_line(mti_http_fetch *f, const char *line)
{
    assert_int_equal(head_add(f, line, strlen(line)), MT_OK);
}

static void test_head(void **state)
{
    mti_http_fetch f = {0};

    mti_buf_init(&f.head, HEAD_MAX);
    add_line(&f, "Old: 1\r\n");
    head_restart(&f);
    add_line(&f, "Content-Type:  text/plain \r\n");
    add_line(&f, "no colon\r\n");
    add_line(&f, "Empty:\r\n");
    add_line(&f, "Set-Cookie: a\r\n");
    add_line(&f, "Set-Cookie: b\r\n");
    head_finish(&f);
    assert_int_equal(f.field_count, 4);
    assert_true(mt_slice_eq(mti_http_fetch_header(&f, "content-type"), MT_SLICE("text/plain")));
    assert_true(mt_slice_eq(mti_http_fetch_header(&f, "empty"), MT_SLICE("")));
    assert_true(mt_slice_eq(mti_http_fetch_header(&f, "set-cookie"), MT_SLICE("b")));
    assert_null(mti_http_fetch_header(&f, "old").p);
    mti_buf_dispose(&f.head);
    free(f.fields);
}

static void test_head_is_bounded(void **state)
{
    mti_http_fetch f = {0};
    static char line[HEAD_MAX + 10] = "X: ";
    mt_status st = MT_OK;

    memset(line + 3, 'y', sizeof line - 4);
    mti_buf_init(&f.head, HEAD_MAX);
    assert_int_equal(head_add(&f, line, sizeof line - 1), MT_TOO_LARGE);
    head_restart(&f);
    for (int i = 0; i <= FIELDS_MAX; i++)
        st = head_add(&f, "a: b\r\n", 6);
    assert_int_equal(st, MT_TOO_LARGE);
    mti_buf_dispose(&f.head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls), cmocka_unit_test(test_methods),
                                       cmocka_unit_test(test_head),
                                       cmocka_unit_test(test_head_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
