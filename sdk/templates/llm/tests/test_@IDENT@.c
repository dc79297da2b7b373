/* The engine against the SDK's fake host, which answers in place of the upstream. */
#include <mortise/json.h>
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin @IDENT@_plugin;

#define CHUNK(text) "data: {\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define STOP "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"

static mt_testkit *kit;
static const mt_llm_engine_1_provider *engine;
static mt_handle generation;
static char text[256];

static int set_up(void **state)
{
    kit = mt_testkit_create(&@IDENT@_plugin, MORTISE_PLUGIN_DIR);
    engine = @IDENT@_plugin.services[0].table;
    text[0] = 0;
    return kit ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(kit);
    return 0;
}

/* Asks, with this answer of the upstream, and reads to the end; what opening or reading ended with. */
static mt_status ask(int status, const char *answer)
{
    mt_call *c = mt_testkit_call(kit);
    mt_llm_engine_in in = {.size = sizeof in, .messages = MT_SLICE("[{\"role\":\"user\",\"content\":\"Who?\"}]"), .seed = -1, .temperature = -1, .top_p = -1};
    mt_slice token;
    mt_testkit_config(kit, "{\"base_url\":\"https://llm.test/v1\",\"api_key\":\"sk-1\",\"models\":[\"small\"]}");
    mt_testkit_http(kit, "POST https://llm.test/v1/chat/completions", status, answer);
    in.system = MT_SLICE("Be brief.");
    mt_status s = engine->open(NULL, c, &in, &generation);
    while (s == MT_OK && (s = engine->next(NULL, c, generation, &token)) == MT_OK)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s|", (int)token.len, token.p);
    return s;
}

static void test_tokens_come_one_by_one(void **state)
{
    mt_llm_engine_counts counts;
    assert_int_equal(ask(200, CHUNK("Ada ") CHUNK("") ": still here\n\n" CHUNK("Lovelace") STOP), MT_DONE);
    assert_string_equal(text, "Ada |Lovelace|");
    engine->usage(NULL, mt_testkit_call(kit), generation, &counts);
    assert_int_equal(counts.input_tokens, 7);
    assert_int_equal(counts.output_tokens, 2);
    assert_true(mt_slice_eq(counts.finish, MT_SLICE("stop")));
}

static void test_what_is_asked(void **state)
{
    ask(200, CHUNK("x") STOP);
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_HTTP, 0)->text,
                        "{\"model\":\"small\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Who?\"}]}");
}

static void test_what_goes_wrong(void **state)
{
    static const struct { int status; const char *answer; mt_status ends; const char *code; } cases[] = {
        {400, "", MT_INVALID, "@IDENT@_refused"},
        {401, "", MT_UNAVAILABLE, "@IDENT@_key_refused"},
        {404, "", MT_NOT_FOUND, "@IDENT@_model_unknown"},
        {429, "", MT_LIMITED, "@IDENT@_limited"},
        {500, "", MT_UNAVAILABLE, "@IDENT@_failed"},
        {200, CHUNK("a"), MT_UNAVAILABLE, "@IDENT@_cut"},
        {200, "data: {\"choices\":\n\n", MT_UNAVAILABLE, "@IDENT@_unreadable"},
        {200, "data: {\"error\":{\"message\":\"x\"}}\n\n", MT_UNAVAILABLE, "@IDENT@_failed"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tear_down(state);
        set_up(state);
        assert_int_equal(ask(cases[i].status, cases[i].answer), cases[i].ends);
        assert_true(mt_slice_eq(mt_problem_code(mt_testkit_call(kit)), mt_str(cases[i].code)));
    }
}

static void test_models_are_the_configurations(void **state)
{
    mt_llm_engine_model m;
    mt_testkit_config(kit, "{\"models\":[\"small\",\"large\"]}");
    assert_int_equal(engine->models(NULL, mt_testkit_call(kit), 1, &m), MT_OK);
    assert_true(mt_slice_eq(m.model, MT_SLICE("large")));
    assert_int_equal(engine->models(NULL, mt_testkit_call(kit), 2, &m), MT_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tokens_come_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_goes_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_models_are_the_configurations, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
