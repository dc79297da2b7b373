/* What the client gets: problems, headers, entity tags, and that nothing of the inside leaks. */
#include "support.h"

#include "bus/bus.h"
#include "telemetry/trace.h"

static mt_status kept;
static mt_slice patched;
static mt_outcome outcome;

static bool fake_has(const mti_bus *b, int hook, const mt_call *c)
{
    return patched.p != NULL || outcome != MT_CONTINUE;
}
static mt_outcome fake_emit_under(mti_bus *b, mt_call *c, int hook, void *payload, const struct mti_patch_rules *rules);
static mt_status fake_keep(mti_request *r, int status, mt_slice body)
{
    return kept;
}

#define mti_bus_has          fake_has
#define mti_bus_emit_under   fake_emit_under
#define mti_idempotency_keep fake_keep
#include "../../../core/request/answer.c"

static mt_outcome fake_emit_under(mti_bus *b, mt_call *c, int hook, void *payload, const struct mti_patch_rules *rules)
{
    if (patched.p)
        ((mt_http_response *)payload)->body = patched;
    return outcome;
}

static mti_request r;
static mti_http_request http;
static mti_host host;

static int setup(void **state)
{
    mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    http = (mti_http_request){0};
    r = (mti_request){.http = &http, .host = &host};
    mti_call_init(&r.call, NULL);
    r.call.operation = "shop.get";
    r.call.request_id = mti_uuid_v7();
    mti_trace_begin(&r.call, (mt_slice){0}, false);
    kept = MT_OK;
    patched = (mt_slice){0};
    outcome = MT_CONTINUE;
    return 0;
}

static int teardown(void **state)
{
    mti_call_dispose(&r.call);
    return 0;
}

/* The problem that was sent, as a tree; the caller's. */
static json_t *problem(const char *text)
{
    json_t *v = NULL;
    mti_error e;
    if (mti_json_parse(mt_str(text), 0, &v, &e) != MT_OK)
        fail_msg("%s: %s", e.detail, text);
    return v;
}

static const char *text_at(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

static void test_problem(void **state)
{
    mti_fail(&r.call.error, MT_CONFLICT, "name_taken", "The name \"%s\" is taken.\n", "a\\b\x01");
    snprintf(r.call.error.pointer, sizeof r.call.error.pointer, "/na\"me");
    mti_answer_problem(&r);
    assert_int_equal(http.status, 409);
    assert_string_equal(http.type, "application/problem+json");
    json_t *p = problem(http.sent);
    assert_string_equal(text_at(p, "type"), "urn:mortise:problem:name_taken");
    assert_string_equal(text_at(p, "title"), "Conflict");
    assert_int_equal(json_integer_value(json_object_get(p, "status")), 409);
    assert_string_equal(text_at(p, "code"), "name_taken");
    assert_string_equal(text_at(p, "detail"), "The name \"a\\b\x01\" is taken.\n");
    assert_string_equal(text_at(p, "pointer"), "/na\"me");
    assert_int_equal(strlen(text_at(p, "request_id")), 36);
    assert_non_null(strstr(http.added, text_at(p, "request_id")));
    assert_int_equal(json_object_size(p), 7);
    json_decref(p);
    assert_int_equal(r.status, 409);
}

static void test_statuses(void **state)
{
    static const struct {
        mt_status status;
        int http;
        const char *title;
    } rows[] = {{MT_NOT_FOUND, 404, "Not Found"},
                {MT_INVALID, 422, "Unprocessable Content"},
                {MT_DENIED, 403, "Forbidden"},
                {MT_UNAUTHENTICATED, 401, "Unauthorized"},
                {MT_LIMITED, 429, "Too Many Requests"},
                {MT_TOO_LARGE, 413, "Content Too Large"},
                {MT_UNAVAILABLE, 503, "Service Unavailable"},
                {MT_TIMEOUT, 504, "Gateway Timeout"},
                {MT_UNSUPPORTED, 501, "Not Implemented"},
                {MT_PRECONDITION, 412, "Precondition Failed"},
                {MT_NO_MEMORY, 503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        http = (mti_http_request){0};
        mti_fail(&r.call.error, rows[i].status, "some_code", "Words.");
        mti_answer_problem(&r);
        assert_int_equal(http.status, rows[i].http);
        json_t *p = problem(http.sent);
        assert_string_equal(text_at(p, "title"), rows[i].title);
        assert_null(json_object_get(p, "pointer"));
        json_decref(p);
        assert_true((strstr(http.added, "retry-after: ") != NULL) == (rows[i].http == 503));
    }
    r.call.error.http = 418;
    http = (mti_http_request){0};
    mti_answer_problem(&r);
    assert_int_equal(http.status, 418);
}

static void test_internal_is_hidden(void **state)
{
    mti_fail(&r.call.error, MT_INTERNAL, "secret_code", "password=hunter2");
    mti_answer_problem(&r);
    assert_int_equal(http.status, 500);
    assert_null(strstr(http.sent, "hunter2"));
    assert_null(strstr(http.sent, "secret_code"));
    assert_non_null(strstr(http.sent, "internal_error"));
    http = (mti_http_request){0};
    mti_fail(&r.call.error, (mt_status)99, "odd", "password=hunter2");
    mti_answer_problem(&r);
    assert_int_equal(http.status, 500);
    assert_null(strstr(http.sent, "hunter2"));
}

static void test_longest_problem(void **state)
{
    char words[600];
    memset(words, '"', sizeof words);
    mti_fail(&r.call.error, MT_INVALID,
             "a_very_long_code_a_very_long_code_a_very_long_code_a_very_long_code", "%.*s", 599,
             words);
    memset(r.call.error.pointer, '\\', sizeof r.call.error.pointer - 1);
    mti_answer_problem(&r);
    json_t *p = problem(http.sent);
    assert_int_equal(strlen(text_at(p, "code")), 63);
    assert_int_equal(strlen(text_at(p, "detail")), 383);
    assert_int_equal(strlen(text_at(p, "pointer")), 159);
    json_decref(p);
}

static void test_gone_and_answered(void **state)
{
    mti_fail(&r.call.error, MT_CANCELLED, "cancelled", "left");
    http.gone = true;
    mti_answer_problem(&r);
    assert_int_equal(http.status, 0);
    assert_int_equal(mti_answer_raw(&r, 200, MT_SLICE("text/plain"), MT_SLICE("x")), MT_OK);
    assert_int_equal(mti_answer_raw(&r, 200, MT_SLICE("text/plain"), MT_SLICE("y")), MT_CONFLICT);
    assert_string_equal(http.sent, "x");
    mti_fail(&r.call.error, MT_NOT_FOUND, "late", "late");
    mti_answer_problem(&r);
    assert_string_equal(http.sent, "x");
}

static void test_problem_in_a_stream(void **state)
{
    r.streaming = true;
    mti_fail(&r.call.error, MT_UNAVAILABLE, "model_down", "line one\n\ndata: forged");
    mti_answer_problem(&r);
    assert_memory_equal(http.sent, "event: error\ndata: {", 20);
    char *end = strstr(http.sent, "\n\n");
    assert_non_null(end);
    assert_string_equal(end, "\n\n");
    *end = 0;
    json_t *p = problem(http.sent + 19);
    assert_string_equal(text_at(p, "detail"), "line one\n\ndata: forged");
    json_decref(p);
}

static void test_etag(void **state)
{
    r.etag = "7";
    mti_answer_json(&r, 200, MT_SLICE("{}"));
    assert_non_null(strstr(http.added, "etag: \"7\"\n"));
    assert_non_null(strstr(http.added, "x-content-type-options: nosniff\n"));
    assert_non_null(strstr(http.added, "traceparent: 00-"));
    assert_int_equal(r.bytes_out, 2);
    http = (mti_http_request){0};
    mti_fail(&r.call.error, MT_NOT_FOUND, "not_found", "x");
    mti_answer_problem(&r);
    assert_null(strstr(http.added, "etag"));
}

static void test_json(void **state)
{
    assert_int_equal(mti_answer_json(&r, 204, (mt_slice){0}), MT_OK);
    assert_int_equal(http.status, 204);
    assert_string_equal(http.type, "");
    http = (mti_http_request){0};
    patched = MT_SLICE("{\"a\":1}");
    assert_int_equal(mti_answer_json(&r, 200, MT_SLICE("{}")), MT_OK);
    assert_string_equal(http.sent, "{\"a\":1}");
    assert_string_equal(http.type, "application/json");
    http = (mti_http_request){0};
    outcome = MT_DENY;
    assert_int_equal(mti_answer_json(&r, 200, MT_SLICE("{}")), MT_DENIED);
    assert_false(http.answered);
    outcome = MT_CONTINUE;
    kept = MT_UNAVAILABLE;
    assert_int_equal(mti_answer_json(&r, 200, MT_SLICE("{}")), MT_UNAVAILABLE);
    assert_false(http.answered);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_problem),
                                       TEST(test_statuses),
                                       TEST(test_internal_is_hidden),
                                       TEST(test_longest_problem),
                                       TEST(test_gone_and_answered),
                                       TEST(test_problem_in_a_stream),
                                       TEST(test_etag),
                                       TEST(test_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
