/* Stage 5: query strings by their schema, JSON and multipart bodies, content types, limits. */
#include "support.h"

#include "../../../core/request/body.c"

#include <unistd.h>

static const char API[] =
    "{\"paths\":{"
    "\"/none\":{\"get\":{\"operationId\":\"none\",\"x-permission\":\"a.b\",\"x-handler\":\"h\"}},"
    "\"/"
    "query\":{\"get\":{\"operationId\":\"query\",\"x-permission\":\"a.b\",\"x-handler\":\"h\",\"x-"
    "params\":{\"n\":{\"type\":\"integer\",\"minimum\":0,\"default\":7},"
    "\"x\":{\"type\":\"number\"},\"b\":{\"type\":\"boolean\"},\"s\":{\"type\":\"string\","
    "\"maxLength\":5}}}},"
    "\"/"
    "needs\":{\"get\":{\"operationId\":\"needs\",\"x-permission\":\"a.b\",\"x-handler\":\"h\",\"x-"
    "params\":{\"q\":{\"type\":\"string\",\"x-required\":true}}}},"
    "\"/"
    "json\":{\"post\":{\"operationId\":\"json\",\"x-permission\":\"a.b\",\"x-handler\":\"h\",\"x-"
    "body\":\"B\"}},"
    "\"/"
    "small\":{\"post\":{\"operationId\":\"small\",\"x-permission\":\"a.b\",\"x-handler\":\"h\",\"x-"
    "body\":\"B\",\"x-body-limit\":20}},"
    "\"/"
    "files\":{\"post\":{\"operationId\":\"files\",\"x-permission\":\"a.b\",\"x-handler\":\"h\",\"x-"
    "content\":\"multipart\"}}},"
    "\"schemas\":{\"B\":{\"required\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\"},"
    "\"deep\":{\"properties\":{\"a\":{\"type\":\"integer\",\"default\":3}}},"
    "\"n\":{\"type\":\"integer\",\"default\":5}}}}}";

static mti_contract *contract;
static mti_request r;
static mti_http_request http;

static int setup_contract(void **state)
{
    char dir[] = "/tmp/mortise-body-XXXXXX", path[64];
    mti_error e = {0};
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/api.json", dir);
    FILE *f = fopen(path, "w");
    fputs(API, f);
    fclose(f);
    mt_status s = mti_contract_load("shop", dir, &contract, &e);
    unlink(path);
    rmdir(dir);
    if (s != MT_OK)
        print_error("%s\n", e.detail);
    return s == MT_OK ? 0 : -1;
}

static int teardown_contract(void **state)
{
    mti_contract_destroy(contract);
    return 0;
}

static mt_status run(const char *id, mti_http_request given)
{
    static mti_host host;
    http = given;
    r = (mti_request){.http = &http, .host = &host};
    mti_call_init(&r.call, NULL);
    for (unsigned i = 0; i < contract->n_operations; i++)
        if (!strcmp(contract->operations[i].id, id))
            r.match.op = r.values.op = &contract->operations[i];
    return mti_stage_body(&r);
}

static void end(void)
{
    mti_call_dispose(&r.call);
}

static void assert_query(const char *query, const char *want)
{
    mt_status s = run("query", (mti_http_request){.query = query});
    char *text = s == MT_OK ? json_dumps(r.values.query, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (want ? !text || strcmp(text, want) : text != NULL)
        fail_msg("?%s gives %s", query, text ? text : r.call.error.detail);
    free(text);
    end();
}

static void test_query(void **state)
{
    assert_query("", "{\"n\":7}");
    assert_query("n=3", "{\"n\":3}");
    assert_query("n=3&x=1.5&b=true&s=ab", "{\"b\":true,\"n\":3,\"s\":\"ab\",\"x\":1.5}");
    assert_query("x=2&b=false", "{\"b\":false,\"n\":7,\"x\":2}");
    assert_query("s=a%20b", "{\"n\":7,\"s\":\"a b\"}");
    assert_query("s=a+b", "{\"n\":7,\"s\":\"a b\"}");
    assert_query("s=%2B", "{\"n\":7,\"s\":\"+\"}");
    assert_query("s=a=b", "{\"n\":7,\"s\":\"a=b\"}");
    assert_query("s=a%26b", "{\"n\":7,\"s\":\"a&b\"}");
    assert_query("s=", "{\"n\":7,\"s\":\"\"}");
    assert_query("s", "{\"n\":7,\"s\":\"\"}");
    assert_query("s=1", "{\"n\":7,\"s\":\"1\"}");
    assert_query("%73=1", "{\"n\":7,\"s\":\"1\"}");
    assert_query("&&s=1&&", "{\"n\":7,\"s\":\"1\"}");
    assert_query("s=1&s=2", "{\"n\":7,\"s\":\"2\"}");
    assert_query("x=1e3", "{\"n\":7,\"x\":1000.0}");
}

static void test_query_refused(void **state)
{
    static const char *const queries[] = {
        "n=",      "n=a",    "n=3a",   "n=-1",       "n=1.5", "n=0x10",   "n=99999999999999999999",
        "n=--1",   "n=null", "n=[1]",  "n=%22 3%22", "x=nan", "x=inf",    "x=0x1p3",
        "x=1e999", "x=",     "b=TRUE", "b=1",        "b=",    "s=abcdef", "unknown=1",
        "N=3",     "s=%",    "s=%zz",  "s=%00",      "s=%ff", "%=1",      "%00=1",
        "=%"};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        assert_query(queries[i], NULL);
    run("query", (mti_http_request){.query = "n=-1"});
    assert_int_equal(mti_error_http(&r.call.error), 422);
    assert_string_equal(r.call.error.pointer, "/query/n");
    end();
    assert_int_equal(run("needs", (mti_http_request){.query = ""}), MT_INVALID);
    end();
    assert_int_equal(run("needs", (mti_http_request){.query = "q="}), MT_OK);
    end();
    assert_int_equal(run("none", (mti_http_request){.query = "a=1"}), MT_INVALID);
    assert_string_equal(r.call.error.code, "parameter_unknown");
    end();
    assert_int_equal(run("none", (mti_http_request){.query = "&"}), MT_OK);
    end();
}

#define JSON(text)                                                                                 \
    (mti_http_request)                                                                             \
    {                                                                                              \
        .headers = {{"content-type", "application/json"}}, .body = MT_SLICE_INIT(text)             \
    }

static void assert_body(mti_http_request given, mt_status want, int http_status, const char *code,
                        const char *pointer)
{
    mt_status s = run("json", given);
    if (s != want ||
        (s != MT_OK && (mti_error_http(&r.call.error) != http_status ||
                        strcmp(r.call.error.code, code) || strcmp(r.call.error.pointer, pointer))))
        fail_msg("%.*s: status %d, %d %s %s", (int)given.body.len, given.body.p, s,
                 mti_error_http(&r.call.error), r.call.error.code, r.call.error.pointer);
    end();
}

static void test_json(void **state)
{
    assert_int_equal(run("json", JSON("{\"name\":\"a\",\"deep\":{}}")), MT_OK);
    char *text = json_dumps(r.values.body, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"deep\":{\"a\":3},\"n\":5,\"name\":\"a\"}");
    free(text);
    assert_int_equal(r.body_text.len, 22);
    end();
    assert_body(JSON("{\"name\":1}"), MT_INVALID, 422, "validation_failed", "/name");
    assert_body(JSON("{}"), MT_INVALID, 422, "validation_failed", "/name");
    assert_body(JSON("[]"), MT_INVALID, 422, "validation_failed", "");
    assert_body(JSON("{\"name\":\"a\",\"other\":1}"), MT_INVALID, 422, "validation_failed",
                "/other");
    assert_body(JSON("{\"name\":\"a\",\"deep\":{\"b\":1}}"), MT_INVALID, 422, "validation_failed",
                "/deep/b");
    assert_body(JSON(""), MT_INVALID, 400, "json_invalid", "");
    assert_body(JSON("{\"name\":"), MT_INVALID, 400, "json_invalid", "");
    assert_body(JSON("{\"name\":\"\\u0000\"}"), MT_INVALID, 400, "json_invalid", "");
    assert_body(JSON("{\"name\":\"a\",\"name\":\"b\"}"), MT_INVALID, 400, "json_invalid", "");
}

static void test_content_type(void **state)
{
    static const struct {
        const char *type;
        bool ok;
    } rows[] = {{"application/json", true},
                {"Application/JSON", true},
                {"application/json; charset=utf-8", true},
                {"application/json ;charset=utf-8", true},
                {"application/jsonp", false},
                {"application/json-patch+json", false},
                {"text/plain", false},
                {"", false},
                {"multipart/form-data; boundary=x", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_body((mti_http_request){.headers = {{"content-type", rows[i].type}},
                                       .body = MT_SLICE_INIT("{\"name\":\"a\"}")},
                    rows[i].ok ? MT_OK : MT_UNSUPPORTED, 415, "content_type_unsupported", "");
    assert_body((mti_http_request){.body = MT_SLICE_INIT("{\"name\":\"a\"}")}, MT_UNSUPPORTED, 415,
                "content_type_unsupported", "");
}

static void test_limits(void **state)
{
    static const char big[1200];
    mti_http_request given = JSON("");
    given.body = (mt_slice){big, 1001};
    assert_body(given, MT_TOO_LARGE, 413, "body_too_large", "");
    assert_int_equal(http.body_limit, 1000);
    given.body_status = MT_TIMEOUT;
    assert_body(given, MT_TIMEOUT, 408, "body_too_slow", "");
    given.body_status = MT_INVALID;
    given.body.len = 1;
    assert_body(given, MT_INVALID, 400, "framing_invalid", "");
    assert_int_equal(run("small", JSON("{\"name\":\"abcdefghijklmnop\"}")), MT_TOO_LARGE);
    assert_int_equal(http.body_limit, 20);
    end();
    assert_int_equal(run("none", (mti_http_request){.body = {big, 1200}}), MT_OK);
    assert_int_equal(http.body_limit, 4096);
    assert_null(r.values.body);
    end();
}

static void test_files(void **state)
{
    mti_http_request given = {.headers = {{"content-type", "multipart/form-data; boundary=XX"}},
                              .body =
                                  MT_SLICE_INIT("--XX\r\nContent-Disposition: form-data; "
                                                "name=\"f\"; filename=\"a\"\r\n\r\nv\r\n--XX--")};
    assert_int_equal(run("files", given), MT_OK);
    assert_int_equal(http.body_limit, 2000);
    assert_int_equal(r.multipart.n, 1);
    end();
    given.body.len--;
    assert_int_equal(run("files", given), MT_INVALID);
    assert_string_equal(r.call.error.code, "multipart_invalid");
    end();
    assert_int_equal(run("files", JSON("{}")), MT_UNSUPPORTED);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),  cmocka_unit_test(test_query_refused),
        cmocka_unit_test(test_json),   cmocka_unit_test(test_content_type),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, setup_contract, teardown_contract);
}
