#include "llm_wire/tests/wire_test.h"

extern const mt_plugin llm_ollama_plugin;

#define URL "http://x/api/chat"

static void test_text_and_counts_without_a_last_line_end(void **state)
{
    wire_run r = wire_ask(&llm_ollama_plugin, URL, 200, "{\"message\":{\"content\":\"A\"},\"done\":false}\n\n{\"message\":{\"content\":\"da\"},\"done\":false}\n"
                          "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":7,\"eval_count\":2}",
                          wire_in("[{\"role\":\"user\",\"content\":\"Who?\"}]"));
    assert_int_equal(r.ended, MT_DONE);
    assert_string_equal(r.text, "A|da|");
    assert_true(wire_is(r.counts.finish, "length"));
    assert_int_equal(r.counts.input_tokens, 7);
    assert_int_equal(r.counts.output_tokens, 2);
    mt_testkit_destroy(r.kit);
}

static void test_tools(void **state)
{
    mt_llm_engine_in in = wire_in("[{\"role\":\"user\",\"content\":\"Who?\"},"
                                  "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"q\\\":1}\"}}]},"
                                  "{\"role\":\"tool\",\"name\":\"look\",\"content\":\"Ada\"}]");
    in.max_tokens = 9;
    in.seed = 4;
    in.response_format = MT_SLICE("{\"type\":\"json_object\"}");
    in.tools = MT_SLICE("[{\"type\":\"function\"}]");
    wire_run r = wire_ask(&llm_ollama_plugin, URL, 200, "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"look\",\"arguments\":{\"q\":2}}}]},\"done\":false}\n"
                          "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n", in);
    assert_int_equal(r.ended, MT_DONE);
    assert_true(wire_is(r.counts.finish, "tool_calls") && wire_is(r.tools, "[{\"id\":\"call_0\",\"name\":\"look\",\"arguments\":{\"q\":2}}]"));
    assert_string_equal(r.sent, "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Who?\"},"
                                "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"look\",\"arguments\":{\"q\":1}}}]},"
                                "{\"role\":\"tool\",\"content\":\"Ada\",\"tool_name\":\"look\"}],\"options\":{\"num_predict\":9,\"seed\":4},"
                                "\"tools\":[{\"type\":\"function\"}],\"format\":\"json\"}");
    mt_testkit_destroy(r.kit);
}

static void test_errors(void **state)
{
    wire_run r = wire_ask(&llm_ollama_plugin, URL, 200, "{\"message\":{\"content\":\"A\"}}\n{\"error\":\"runner stopped\"}\n", wire_in("[]"));
    assert_string_equal(r.text, "A|");
    assert_int_equal(r.ended, MT_UNAVAILABLE);
    mt_testkit_destroy(r.kit);
    r = wire_ask(&llm_ollama_plugin, URL, 200, "{\"message\":{\"content\":\"A\"}}\n{\"mess", wire_in("[]"));
    assert_int_equal(r.ended, MT_UNAVAILABLE);
    mt_testkit_destroy(r.kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text_and_counts_without_a_last_line_end), cmocka_unit_test(test_tools), cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
