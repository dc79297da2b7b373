#include "llm_wire/tests/wire_test.h"

extern const mt_plugin llm_anthropic_plugin;

#define URL "http://x/v1/messages"
#define DATA(json) "event: x\ndata: " json "\n\n"

static void test_text_tools_and_counts(void **state)
{
    wire_run r = wire_ask(&llm_anthropic_plugin, URL, 200,
                          DATA("{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":3,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}")
                          DATA("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}") DATA("{\"type\":\"ping\"}")
                          DATA("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Let me \"}}")
                          DATA("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"look.\"}}") DATA("{\"type\":\"content_block_stop\",\"index\":0}")
                          DATA("{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"look\",\"input\":{}}}")
                          DATA("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"q\\\"\"}}")
                          DATA("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\":[1]}\"}}")
                          DATA("{\"type\":\"content_block_stop\",\"index\":1}")
                          DATA("{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"now\",\"input\":{}}}")
                          DATA("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":15}}") DATA("{\"type\":\"message_stop\"}"),
                          wire_in("[{\"role\":\"user\",\"content\":\"Who?\"}]"));
    assert_int_equal(r.ended, MT_DONE);
    assert_string_equal(r.text, "Let me |look.|");
    assert_true(wire_is(r.counts.finish, "tool_calls"));
    assert_true(wire_is(r.tools, "[{\"id\":\"t1\",\"name\":\"look\",\"arguments\":{\"q\":[1]}},{\"id\":\"t2\",\"name\":\"now\",\"arguments\":{}}]"));
    assert_int_equal(r.counts.input_tokens, 10);
    assert_int_equal(r.counts.cached_tokens, 3);
    assert_int_equal(r.counts.output_tokens, 15);
    mt_testkit_destroy(r.kit);
}

static void test_what_is_sent(void **state)
{
    mt_llm_engine_in in = wire_in("[{\"role\":\"system\",\"content\":\"Second.\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Who?\"}]},"
                                  "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"q\\\":1}\"}}]},"
                                  "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"Ada\"},{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"1843\"}]");
    in.system = MT_SLICE("First.");
    in.tools = MT_SLICE("[{\"type\":\"function\",\"function\":{\"name\":\"look\",\"description\":\"Looks\",\"parameters\":{\"type\":\"object\"}}}]");
    in.tool_choice = MT_SLICE("{\"type\":\"function\",\"function\":{\"name\":\"look\"}}");
    in.stop = MT_SLICE("\"END\"");
    wire_run r = wire_ask(&llm_anthropic_plugin, URL, 200, "", in);
    assert_string_equal(r.sent, "{\"model\":\"m\",\"stream\":true,\"max_tokens\":4096,\"stop_sequences\":[\"END\"],"
                                "\"system\":[{\"type\":\"text\",\"text\":\"First.\"},{\"type\":\"text\",\"text\":\"Second.\"}],"
                                "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Who?\"}]},"
                                "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"look\",\"input\":{\"q\":1}}]},"
                                "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"Ada\"}]},"
                                "{\"type\":\"tool_result\",\"tool_use_id\":\"b\",\"content\":[{\"type\":\"text\",\"text\":\"1843\"}]}]}],"
                                "\"tools\":[{\"name\":\"look\",\"description\":\"Looks\",\"input_schema\":{\"type\":\"object\"}}],\"tool_choice\":{\"type\":\"tool\",\"name\":\"look\"}}");
    mt_testkit_destroy(r.kit);
}

static void test_errors_in_the_stream(void **state)
{
    static const struct { const char *type; mt_status status; } cases[] = {
        {"overloaded_error", MT_UNAVAILABLE}, {"rate_limit_error", MT_LIMITED}, {"invalid_request_error", MT_INVALID}, {"authentication_error", MT_UNAVAILABLE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char answer[256];
        snprintf(answer, sizeof answer, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"x\"}}\n\n", cases[i].type);
        wire_run r = wire_ask(&llm_anthropic_plugin, URL, 200, answer, wire_in("[{\"role\":\"user\",\"content\":\"Who?\"}]"));
        assert_int_equal(r.ended, cases[i].status);
        mt_testkit_destroy(r.kit);
    }
}

static void test_only_text_is_sent(void **state)
{
    wire_run r = wire_ask(&llm_anthropic_plugin, URL, 200, "", wire_in("[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]"));
    assert_int_equal(r.opened, MT_INVALID);
    assert_true(wire_is(mt_problem_code(mt_testkit_call(r.kit)), "content_unsupported"));
    mt_testkit_destroy(r.kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text_tools_and_counts), cmocka_unit_test(test_what_is_sent), cmocka_unit_test(test_errors_in_the_stream),
                                       cmocka_unit_test(test_only_text_is_sent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
