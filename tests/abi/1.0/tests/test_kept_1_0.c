/* The source of the kept plugin, and this use of the fake host, as they were written for SDK 1.0: both go on compiling, and mean the same. */
#include <mortise/hooks.h>
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin kept_1_0_plugin;

static mt_testkit *kit;

static int set_up(void **state)
{
    kit = mt_testkit_create(&kept_1_0_plugin, MORTISE_PLUGIN_DIR);
    return kit && mt_testkit_activate(kit) == MT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(kit);
    return 0;
}

static void a_transaction_and_its_job(void **state)
{
    mt_testkit_query(kit, "note_add", "[{\"id\":\"n1\",\"text\":\"one\"}]");
    mt_testkit_exec(kit, "note_once", 1);
    mt_testkit_begin(kit);
    mt_testkit_identity(kit, "org", NULL, "who", "kept_1_0.use");
    mt_testkit_body(kit, "{\"text\":\"one\"}");
    assert_int_equal(mt_testkit_run(kit, "on_create"), MT_OK);
    assert_int_equal(mt_testkit_status(kit), 201);
    assert_string_equal(mt_testkit_json(kit, "/text"), "one");
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_QUERY, 0)->name, "BEGIN");
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_JOB), 1);
    assert_int_equal(mt_testkit_job(kit, "on_job", "{\"id\":\"n2\",\"text\":\"two\"}"), MT_OK);
}

static void a_query_that_fails(void **state)
{
    mt_testkit_query_fails(kit, "note_get", 503, "database_down");
    mt_testkit_param(kit, "note_id", "n1");
    assert_int_equal(mt_testkit_run(kit, "on_get"), MT_UNAVAILABLE);
    assert_string_equal(mt_testkit_problem(kit), "database_down");
}

static void configuration_json_and_the_pool(void **state)
{
    mt_testkit_config(kit, "{\"deep\":{\"number\":9}}");
    mt_testkit_body(kit, "{\"numbers\":[1,2.5]}");
    assert_int_equal(mt_testkit_run(kit, "on_sum"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), "{\"sum\":3.5,\"configured\":9}");
}

static void http(void **state)
{
    mt_testkit_http(kit, "GET http://127.0.0.1/page", 200, "12345");
    mt_testkit_param(kit, "url", "http://127.0.0.1/page");
    assert_int_equal(mt_testkit_run(kit, "on_fetch"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/bytes"), "5");
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_HTTP, 0)->name, "GET http://127.0.0.1/page");
}

static void a_stream_that_is_left(void **state)
{
    mt_testkit_cancel_after(kit, 4);
    assert_int_equal(mt_testkit_run(kit, "on_count"), MT_CANCELLED);
    assert_true(mt_testkit_count(kit, MT_SEEN_EVENT) < 3);
    mt_testkit_begin(kit);
    assert_int_equal(mt_testkit_run(kit, "on_count"), MT_OK);
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_EVENT, 2)->text, "{\"n\":3}");
}

static mt_outcome lower(void *arg, mt_call *c, void *payload)
{
    ((mt_code_analyze *)payload)->score = 42;
    return MT_CONTINUE;
}

static void hooks_on_both_sides(void **state)
{
    mt_code_analyze in = {.size = sizeof in, .source = MT_SLICE("kept"), .findings = MT_SLICE("[]"), .score = 100};
    mt_document_uploaded file = {.size = sizeof file, .file_name = MT_SLICE("a.kept.txt"), .bytes = 1};
    assert_int_equal(mt_testkit_hook(kit, "on_code_analyze", &in), MT_CONTINUE);
    assert_true(in.score == 99);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_PATCH), 2);
    assert_int_equal(mt_testkit_hook(kit, "on_document_uploaded", &file), MT_DENY);
    mt_testkit_on_emit(kit, "code.analyze", lower, NULL);
    mt_testkit_begin(kit);
    mt_testkit_body(kit, "{\"source\":\"x\"}");
    assert_int_equal(mt_testkit_run(kit, "on_analyze"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/score"), "42");
}

static void the_service_that_it_provides(void **state)
{
    const mt_llm_engine_1 *llm = mt_testkit_interface(kit, "llm_engine/1");
    const mt_llm_engine_in in = {.size = sizeof in, .messages = MT_SLICE("[{\"role\":\"user\",\"content\":\"two words\"}]")};
    mt_call *c = mt_testkit_call(kit);
    mt_handle g;
    mt_slice piece;
    assert_int_equal(llm->open(c, MT_SLICE("kept_1_0"), &in, &g), MT_OK);
    assert_int_equal(llm->next(c, MT_SLICE("kept_1_0"), g, &piece), MT_OK);
    assert_true(mt_slice_eq(piece, MT_SLICE("two ")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_transaction_and_its_job, set_up, tear_down), cmocka_unit_test_setup_teardown(a_query_that_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(configuration_json_and_the_pool, set_up, tear_down), cmocka_unit_test_setup_teardown(http, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stream_that_is_left, set_up, tear_down), cmocka_unit_test_setup_teardown(hooks_on_both_sides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_service_that_it_provides, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
