/* The fake host itself, through a plugin that touches all of it. */
#include <mortise/hooks.h>
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin sample_plugin;

static int set_up(void **state)
{
    *state = mt_testkit_create(&sample_plugin, SAMPLE_DIR);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(*state);
    return 0;
}

static void test_a_request_sees_what_was_set(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_body(kit, "{\"text\":\"a \\\"b\\\"\"}");
    mt_testkit_header(kit, "user-agent", "cmocka");
    mt_testkit_config(kit, "{\"limits\":{}}");
    mt_testkit_file(kit, "file", "a.txt", "text/plain", MT_SLICE("bytes"));
    assert_int_equal(mt_testkit_run(kit, "on_echo"), MT_OK);
    assert_int_equal(mt_testkit_status(kit), 200);
    assert_string_equal(mt_testkit_answer(kit), "{\"text\":\"a \\\"b\\\"\",\"loud\":true,\"times\":1,\"word\":\"hi\",\"max\":3,\"agent\":\"cmocka\","
                                                "\"id\":\"00000000-0000-7000-8000-000000000001\",\"files\":1,\"file\":\"bytes\"}");
    assert_string_equal(mt_testkit_json(kit, "/word"), "hi");
    assert_null(mt_testkit_json(kit, "/none"));
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_HEADER, 0)->text, "yes");
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_LOG, 0)->text, "warn k=v");
}

static void test_the_next_call_begins_empty(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_body(kit, "{}");
    mt_testkit_param(kit, "times", "4");
    mt_testkit_run(kit, "on_echo");
    assert_string_equal(mt_testkit_json(kit, "/times"), "4");
    mt_testkit_run(kit, "on_echo");
    assert_string_equal(mt_testkit_json(kit, "/times"), "1");
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_LOG), 1);
}

static void test_permissions_are_asked(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_identity(kit, "o", NULL, "s", "other.use more.use");
    assert_int_equal(mt_testkit_run(kit, "on_echo"), MT_DENIED);
    assert_int_equal(mt_testkit_status(kit), 403);
    assert_string_equal(mt_testkit_problem(kit), "sample_forbidden");
    mt_testkit_identity(kit, "o", NULL, "s", "other.use sample.use");
    assert_int_equal(mt_testkit_run(kit, "on_echo"), MT_OK);
}

static void test_a_stream_and_a_leaving_client(void **state)
{
    mt_testkit *kit = *state;
    assert_int_equal(mt_testkit_run(kit, "on_stream"), MT_OK);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_EVENT), 4);
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_EVENT, 2)->text, "2");
    mt_testkit_cancel_after(kit, 3); /* begin, sleep, then the first event */
    assert_int_equal(mt_testkit_run(kit, "on_stream"), MT_CANCELLED);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_EVENT), 0);
}

static void test_queries_answer_what_was_canned(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_query(kit, "row_get", "[{\"id\":7,\"name\":\"n\",\"ready\":true,\"_etag\":1}]");
    assert_int_equal(mt_testkit_run(kit, "on_db"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/ready"), "t");
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_QUERY, 1)->text, "{\"id\":\"7\"}");
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_QUERY, 2)->name, "COMMIT");
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_JOB, 0)->text, "{\"id\":7,\"name\":\"n\",\"ready\":true}");
}

static void test_queries_fail_as_told(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_query(kit, "row_get", "[]");
    mt_testkit_query_fails(kit, "row_get", 409, "row_taken");
    assert_int_equal(mt_testkit_run(kit, "on_db"), MT_NOT_FOUND);
    assert_int_equal(mt_testkit_status(kit), 404);
    assert_int_equal(mt_testkit_run(kit, "on_db"), MT_CONFLICT);
    assert_string_equal(mt_testkit_problem(kit), "row_taken");
    assert_int_equal(mt_testkit_run(kit, "on_unknown_query"), MT_INTERNAL);
    assert_string_equal(mt_testkit_problem(kit), "query_unknown");
}

static void test_exchanges_go_to_granted_hosts(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_http(kit, "GET https://api.example.com/a", 200, "[1]");
    mt_testkit_param(kit, "url", "https://api.example.com/a");
    assert_int_equal(mt_testkit_run(kit, "on_fetch"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), "[1]");
    mt_testkit_param(kit, "url", "https://evil.example.com/a");
    assert_int_equal(mt_testkit_run(kit, "on_fetch"), MT_DENIED);
    mt_testkit_param(kit, "url", "https://api.example.com/b");
    assert_int_equal(mt_testkit_run(kit, "on_fetch"), MT_UNAVAILABLE);
}

static mt_status llm_open(void *self, mt_call *c, const mt_llm_in *in, mt_handle *out)
{
    *out = 1;
    return MT_OK;
}

static mt_status llm_next(void *self, mt_call *c, mt_handle g, mt_slice *token)
{
    *token = mt_str(self);
    return MT_OK;
}

static void test_services_are_given_by_the_test(void **state)
{
    mt_testkit *kit = *state;
    static const mt_llm_1_provider llm = {.size = sizeof llm, .version = 1, .open = llm_open, .next = llm_next};
    assert_int_equal(mt_testkit_run(kit, "on_llm"), MT_UNAVAILABLE);
    assert_string_equal(mt_testkit_problem(kit), "no_provider");
    mt_testkit_service(kit, "llm/1", &llm, "word");
    assert_int_equal(mt_testkit_run(kit, "on_llm"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), "\"word\"");
}

/* The pointers that mt_bind() filled are this program's too: sample.c is linked in. */
static void test_only_granted_interfaces_are_given(void **state)
{
    mt_testkit *kit = *state;
    assert_null(mt_embedder_1_api);
    assert_null(mt_blob_1_api);
    assert_non_null(mt_cache_1_api);
    assert_non_null(mt_testkit_interface(kit, "embedder/1"));
}

static void test_a_job_has_its_payload(void **state)
{
    mt_testkit *kit = *state;
    assert_int_equal(mt_testkit_job(kit, "on_job", "{\"n\":5}"), MT_OK);
    assert_int_equal(mt_testkit_job(kit, "on_job", "{\"n\":6}"), MT_INVALID);
}

static void test_patches_are_checked_and_applied(void **state)
{
    mt_testkit *kit = *state;
    mt_chat_prepare in = {.size = sizeof in, .query = MT_SLICE("ok"), .temperature = 1};
    assert_int_equal(mt_testkit_hook(kit, "on_chat", &in), MT_CONTINUE);
    assert_true(in.temperature == 0.5);
    assert_true(mt_slice_eq(in.system, MT_SLICE("Be \"kind\".")));
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_PATCH), 2);
    in.query = MT_SLICE("bad");
    assert_int_equal(mt_testkit_hook(kit, "on_chat", &in), MT_DENY);
    assert_int_equal(mt_testkit_status(kit), 422);
    assert_string_equal(mt_testkit_problem(kit), "sample_bad");
}

static mt_outcome replace(void *arg, mt_call *c, void *payload)
{
    ((mt_code_analyze *)payload)->score = *(double *)arg;
    return MT_CONTINUE;
}

static void test_an_emitted_hook_runs_in_order(void **state)
{
    mt_testkit *kit = *state;
    double score = 12;
    assert_int_equal(mt_testkit_run(kit, "on_emit"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), "{\"findings\":[{\"rule\":\"a\"}],\"score\":86}");
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_EMIT, 0)->name, "code.analyze");
    mt_testkit_on_emit(kit, "code.analyze", replace, &score);
    mt_testkit_run(kit, "on_emit");
    assert_string_equal(mt_testkit_answer(kit), "{\"findings\":[],\"score\":12}");
}

static void test_activation_is_the_platforms(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_exec(kit, "row_add", 1);
    assert_int_equal(mt_testkit_activate(kit), MT_OK);
    assert_int_equal(*(int *)mt_testkit_self(kit), 1);
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_QUERY, 0)->name, "row_add");
}

static void test_what_the_host_would_refuse_is_refused(void **state)
{
    mt_plugin p = sample_plugin;
    p.version = "0.2.0";
    assert_null(mt_testkit_create(&p, SAMPLE_DIR));
    p = sample_plugin;
    p.n_handlers = 1; /* api.json names on_stream */
    assert_null(mt_testkit_create(&p, SAMPLE_DIR));
    p = sample_plugin;
    p.abi = 99;
    assert_null(mt_testkit_create(&p, SAMPLE_DIR));
    assert_null(mt_testkit_create(&sample_plugin, "/nowhere"));
}

/* A slice ends where it ends, whatever lies behind it. */
static void test_numbers_are_read_from_slices(void **state)
{
    static const char wire[] = "60000123";
    assert_int_equal(mt_int(mt_bytes(wire, 5), -1), 60000);
    assert_int_equal(mt_int(MT_SLICE("-9223372036854775808"), 1), INT64_MIN);
    assert_int_equal(mt_int(MT_SLICE("3.0"), -1), 3);
    assert_true(mt_number(mt_bytes("0.75", 3), -1) == 0.7);
    const mt_slice none[] = {{NULL, 0}, {"", 0}, MT_SLICE("3.5"), MT_SLICE("3x"), MT_SLICE("x"), MT_SLICE("1e300"),
                             MT_SLICE("1111111111111111111111111111111111111111111111111111111111111111")};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(mt_int(none[i], -1), -1);
    assert_true(mt_number(MT_SLICE("3x"), -1) == -1 && mt_number((mt_slice){NULL, 0}, 2) == 2);
}

#define WITH_KIT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_KIT(test_a_request_sees_what_was_set), WITH_KIT(test_the_next_call_begins_empty), WITH_KIT(test_permissions_are_asked),
        WITH_KIT(test_a_stream_and_a_leaving_client), WITH_KIT(test_queries_answer_what_was_canned), WITH_KIT(test_queries_fail_as_told),
        WITH_KIT(test_exchanges_go_to_granted_hosts), WITH_KIT(test_services_are_given_by_the_test), WITH_KIT(test_only_granted_interfaces_are_given),
        WITH_KIT(test_a_job_has_its_payload), WITH_KIT(test_patches_are_checked_and_applied), WITH_KIT(test_an_emitted_hook_runs_in_order),
        WITH_KIT(test_activation_is_the_platforms), cmocka_unit_test(test_numbers_are_read_from_slices), cmocka_unit_test(test_what_the_host_would_refuse_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
