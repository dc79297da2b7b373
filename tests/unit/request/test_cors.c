/* Which pages may read an answer, and what a preflight learns. */
#include "support.h"

static mt_status fake_answer_raw(mti_request *r, int status, mt_slice type, mt_slice body)
{
    r->status = status;
    mti_cors_headers(r);
    return MT_OK;
}

#define mti_answer_raw fake_answer_raw
#include "../../../core/request/cors.c"

static mti_request r;
static mti_http_request http;
static mti_host host;

static const char *ask(const char *list, const char *origin)
{
    http = (mti_http_request){.headers = {{origin ? "origin" : NULL, origin}}};
    host.cors_origins = list;
    r = (mti_request){.http = &http, .host = &host};
    mti_cors_headers(&r);
    return http.added;
}

static void test_listed_origins_may_read(void **state)
{
    const char *list = "https://a.example, https://b.example:8443";
    assert_non_null(strstr(ask(list, "https://a.example"), "access-control-allow-origin: https://a.example\n"));
    assert_non_null(strstr(ask(list, "https://b.example:8443"), "access-control-allow-origin: https://b.example:8443\n"));
    assert_non_null(strstr(http.added, "vary: origin\n"));
    assert_non_null(strstr(http.added, "x-request-id"));
}

static void test_others_may_not(void **state)
{
    const char *list = "https://a.example,https://b.example";
    static const char *const foreign[] = {"https://a.example.evil", "http://a.example", "https://a.exampl", "null", "*", ",", ""};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        assert_null(strstr(ask(list, foreign[i]), "access-control"));
        assert_non_null(strstr(http.added, "vary: origin\n"));
    }
    assert_null(strstr(ask(list, NULL), "access-control"));
}

static void test_all_and_none(void **state)
{
    assert_non_null(strstr(ask("*", "https://any.example"), "access-control-allow-origin: *\n"));
    assert_null(strstr(http.added, "credentials"));
    assert_string_equal(ask("", "https://any.example"), "");
    assert_string_equal(ask(NULL, "https://any.example"), "");
}

static bool preflight(const char *list, const char *method, const char *origin, const char *wanted)
{
    http = (mti_http_request){.method = method,
                              .headers = {{"origin", origin}, {wanted ? "access-control-request-method" : "x", wanted ? wanted : "y"}, {"access-control-request-headers", "authorization,x-own"}}};
    host.cors_origins = list;
    r = (mti_request){.http = &http, .host = &host};
    return mti_cors_preflight(&r);
}

static void test_preflight(void **state)
{
    assert_true(preflight("https://a.example", "OPTIONS", "https://a.example", "PATCH"));
    assert_int_equal(r.status, 204);
    assert_non_null(strstr(http.added, "access-control-allow-headers: authorization,x-own\n"));
    assert_non_null(strstr(http.added, "PATCH"));
    assert_non_null(strstr(http.added, "access-control-allow-origin: https://a.example\n"));
    assert_false(preflight("https://a.example", "OPTIONS", "https://b.example", "PATCH"));
    assert_false(preflight("https://a.example", "OPTIONS", "https://a.example", NULL));
    assert_false(preflight("https://a.example", "GET", "https://a.example", "PATCH"));
    assert_false(preflight("", "OPTIONS", "https://a.example", "PATCH"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_listed_origins_may_read), cmocka_unit_test(test_others_may_not),
                                       cmocka_unit_test(test_all_and_none), cmocka_unit_test(test_preflight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
