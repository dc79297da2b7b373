#include "llm_wire/tests/wire_test.h"

extern const mt_plugin llm_openai_plugin;

#define URL "http://x/chat/completions"
#define ASK "[{\"role\":\"user\",\"content\":\"Who?\"}]"

static void test_text_and_counts(void **state)
{
    wire_run r = wire_ask(&llm_openai_plugin, URL, 200,
                          "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"A\\u0107\"}}]}\n\n"
                          ": keep-alive\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"da\"},\"finish_reason\":\"length\"}]}\n\n"
                          "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\ndata: [DONE]\n\n",
                          wire_in(ASK));
    assert_int_equal(r.ended, MT_DONE);
    assert_string_equal(r.text, "Ać|da|");
    assert_true(wire_is(r.counts.finish, "length") && wire_is(r.tools, "[]"));
    assert_int_equal(r.counts.input_tokens, 7);
    assert_int_equal(r.counts.cached_tokens, 3);
    assert_int_equal(r.counts.output_tokens, 2);
    mt_testkit_destroy(r.kit);
}

static void test_two_tools_in_pieces(void **state)
{
    wire_run r = wire_ask(&llm_openai_plugin, URL, 200,
                          "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"look\",\"arguments\":\"\"}}]}}]}\n\n"
                          "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"q\\\":\"}}]}}]}\n\n"
                          "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"add\",\"arguments\":\"{}\"}}]}}]}\n\n"
                          "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]}}]}\n\n"
                          "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
                          wire_in(ASK));
    assert_int_equal(r.ended, MT_DONE);          /* no [DONE], but the answer said that it is complete */
    assert_true(wire_is(r.counts.finish, "tool_calls"));
    assert_true(wire_is(r.tools, "[{\"id\":\"a\",\"name\":\"look\",\"arguments\":{\"q\":1}},{\"id\":\"b\",\"name\":\"add\",\"arguments\":{}}]"));
    mt_testkit_destroy(r.kit);
}

static void test_what_is_sent(void **state)
{
    mt_llm_engine_in in = wire_in(ASK);
    in.system = MT_SLICE("Be \"brief\".");
    in.max_tokens = 5;
    in.temperature = 0.5;
    in.stop = MT_SLICE("[\"x\"]");
    in.tools = MT_SLICE("[{\"type\":\"function\"}]");
    in.tool_choice = MT_SLICE("\"auto\"");
    in.response_format = MT_SLICE("{\"type\":\"json_object\"}");
    wire_run r = wire_ask(&llm_openai_plugin, URL, 200, "data: [DONE]\n\n", in);
    assert_string_equal(r.sent, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be \\\"brief\\\".\"},{\"role\":\"user\",\"content\":\"Who?\"}],"
                                "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":5,\"temperature\":0.5,\"stop\":[\"x\"],"
                                "\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"auto\",\"response_format\":{\"type\":\"json_object\"}}");
    assert_int_equal(r.ended, MT_UNAVAILABLE);   /* an end without an answer */
    mt_testkit_destroy(r.kit);
}

static void ends_with(int http, const char *answer, mt_status wanted, const char *code)
{
    wire_run r = wire_ask(&llm_openai_plugin, URL, http, answer, wire_in(ASK));
    mt_slice got = mt_problem_code(mt_testkit_call(r.kit));
    assert_int_equal(r.opened == MT_OK ? r.ended : r.opened, wanted);
    assert_true(wire_is(got, code));
    assert_false(memmem(mt_problem_detail(mt_testkit_call(r.kit)).p, mt_problem_detail(mt_testkit_call(r.kit)).len, "secret", 6) != NULL);
    mt_testkit_destroy(r.kit);
}

static void test_what_goes_wrong(void **state)
{
    ends_with(401, "{\"error\":{\"message\":\"bad key secret\"}}", MT_UNAVAILABLE, "upstream_key_refused");
    ends_with(400, "{\"error\":{\"message\":\"too long\"}}", MT_INVALID, "upstream_refused");
    ends_with(404, "{}", MT_NOT_FOUND, "upstream_model_unknown");
    ends_with(429, "", MT_LIMITED, "upstream_limited");
    ends_with(502, "<html>", MT_UNAVAILABLE, "upstream_failed");
    ends_with(200, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", MT_UNAVAILABLE, "upstream_cut");
    ends_with(200, "data: {\"choices\":\n\n", MT_UNAVAILABLE, "upstream_answer_invalid");
    ends_with(200, "data: nonsense\n\n", MT_UNAVAILABLE, "upstream_answer_invalid");
    ends_with(200, "data: {\"error\":{\"message\":\"x\",\"code\":\"rate_limit_exceeded\"}}\n\n", MT_LIMITED, "upstream_limited");
    ends_with(200, "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":9,\"id\":\"a\"}]}}]}\n\n", MT_UNAVAILABLE, "upstream_answer_invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text_and_counts), cmocka_unit_test(test_two_tools_in_pieces), cmocka_unit_test(test_what_is_sent),
                                       cmocka_unit_test(test_what_goes_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
