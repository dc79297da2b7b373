#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../core/http/request.c"

static void check_target(const char *target, const char *path, const char *query)
{
    mti_http_request r = {0};

    split_target(&r, mt_str(target));
    assert_true(mt_slice_eq(r.path, mt_str(path)));
    assert_true(mt_slice_eq(r.query, mt_str(query)));
}

static void test_targets(void **state)
{
    check_target("/", "/", "");
    check_target("/a/b", "/a/b", "");
    check_target("/a?", "/a", "");
    check_target("/a?b=c?d", "/a", "b=c?d");
    check_target("*", "*", "");
    check_target("http://h", "/", "");
    check_target("http://h?q", "/", "q");
    check_target("http://h:80/p?q=http://x/", "/p", "q=http://x/");
    check_target("HTTPS://h/%2e", "/%2e", "");
}

/* The head is copied: the slices must point into the request, not into what h2o will reuse. */
static void test_head_is_copied(void **state)
{
    static char text[] = "GET /a?b HTTP/1.1\r\nhost: t\r\nx-y: z\r\nx-y: w\r\n\r\n";
    char *const p = text;
    h2o_http1_field_t fields[] = {
        {{p + 19, 4}, {p + 25, 1}}, {{p + 28, 3}, {p + 33, 1}}, {{p + 36, 3}, {p + 41, 1}}};
    h2o_http1_head_t head = {.bytes = {p, sizeof text - 1},
                             .method = {p, 3},
                             .target = {p + 4, 4},
                             .fields = fields,
                             .num_fields = 3,
                             .has_body = 1,
                             .content_length = 7};
    http_loop hl = {0};
    mti_http_request *r = copy_head(&hl, &head);
    mt_field f;

    memset(text, '?', sizeof text);
    assert_true(mt_slice_eq(mti_http_method(r), MT_SLICE("GET")));
    assert_true(mt_slice_eq(mti_http_path(r), MT_SLICE("/a")));
    assert_true(mt_slice_eq(mti_http_query(r), MT_SLICE("b")));
    assert_true(mt_slice_eq(mti_http_header(r, "host"), MT_SLICE("t")));
    assert_true(mt_slice_eq(mti_http_header(r, "x-y"), MT_SLICE("z")));
    assert_null(mti_http_header(r, "x").p);
    assert_true(mti_http_header_at(r, 2, &f) && mt_slice_eq(f.value, MT_SLICE("w")));
    assert_false(mti_http_header_at(r, 3, &f));
    assert_true(mti_http_has_body(r) && mti_http_content_length(r) == 7);
    assert_int_equal(hl.live, 1);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_targets),
                                       cmocka_unit_test(test_head_is_copied)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
