/* The engine against the fake host: what it sends, what it makes of answers, and how it ends. */
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

extern const mt_plugin llm_gemini_plugin;

#define URL "POST https://generativelanguage.googleapis.com/v1beta/models/gemini-test:streamGenerateContent?alt=sse"
#define ADA "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Ada \"}]}}]}\r\n\r\n"
#define END "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"wrote\"},{\"text\":\" it.\"}]},\"finishReason\":\"STOP\"}]," \
            "\"usageMetadata\":{\"promptTokenCount\":7,\"cachedContentTokenCount\":3,\"candidatesTokenCount\":5}}\r\n\r\n"

typedef struct run {
    mt_status opened, ended;
    char text[200];
    mt_llm_engine_counts counts;
    mt_slice code;
} run;

static int set_up(void **state)
{
    *state = mt_testkit_create(&llm_gemini_plugin, MORTISE_PLUGIN_DIR);
    if (*state)
        mt_testkit_config(*state, "{\"api_key\":\"k-secret\"}");
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(*state);
    return 0;
}

/* One generation, to its end, as a consumer of llm_engine/1 sees it. */
static run ask(mt_testkit *kit, const char *messages, const char *system)
{
    run r = {.counts.size = sizeof r.counts};
    mt_llm_engine_in in = {.size = sizeof in, .model = MT_SLICE("gemini-test"), .messages = mt_str(messages), .system = mt_str(system),
                           .stop = MT_SLICE("\"END\""), .seed = -1, .temperature = 0.5, .top_p = -1, .max_tokens = 50};
    const mt_llm_engine_1 *llm = mt_testkit_interface(kit, "llm_engine/1");
    const mt_slice slug = MT_SLICE("llm_gemini");
    mt_call *c = mt_testkit_call(kit);
    mt_handle g;
    mt_slice piece;
    r.opened = r.ended = llm->open(c, slug, &in, &g);
    while (r.opened == MT_OK && (r.ended = llm->next(c, slug, g, &piece)) == MT_OK)
        snprintf(r.text + strlen(r.text), sizeof r.text - strlen(r.text), "%.*s|", (int)piece.len, piece.p);
    if (r.opened == MT_OK)
        llm->usage(c, slug, g, &r.counts);
    r.code = mt_problem_code(c);
    return r;
}

static run ask_simply(mt_testkit *kit, int status, const char *answer)
{
    mt_testkit_begin(kit);
    mt_testkit_http(kit, URL, status, answer);
    return ask(kit, "[{\"role\":\"user\",\"content\":\"Who?\"}]", NULL);
}

static void what_is_sent(void **state)
{
    mt_testkit_http(*state, URL, 200, END);
    ask(*state,
        "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hello\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Who?\"}]}]",
        "Be brief.");
    assert_string_equal(mt_testkit_seen(*state, MT_SEEN_HTTP, 0)->text,
                        "{\"systemInstruction\":{\"parts\":[{\"text\":\"Be brief.\"}]},"
                        "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]},{\"role\":\"model\",\"parts\":[{\"text\":\"Hello\"}]},"
                        "{\"role\":\"user\",\"parts\":[{\"text\":\"Who?\"}]}],"
                        "\"generationConfig\":{\"maxOutputTokens\":50,\"temperature\":0.5,\"stopSequences\":[\"END\"]}}");
}

/* The fake host cuts every body in two, in the middle of a line. */
static void text_comes_in_pieces_and_is_counted(void **state)
{
    run r = ask_simply(*state, 200, ": hello\r\n\r\n" ADA END);
    assert_int_equal(r.ended, MT_DONE);
    assert_string_equal(r.text, "Ada |wrote it.|");
    assert_int_equal(r.counts.input_tokens, 7);
    assert_int_equal(r.counts.cached_tokens, 3);
    assert_int_equal(r.counts.output_tokens, 5);
}

static bool quotes_the_key(mt_slice s)
{
    for (size_t i = 0; i + 8 <= s.len; i++)
        if (!memcmp(s.p + i, "k-secret", 8))
            return true;
    return false;
}

static void what_goes_wrong_has_a_code(void **state)
{
    static const struct { int http; const char *answer; mt_status ended; const char *code; } cases[] = {
        {400, "{\"error\":{\"message\":\"too long\"}}", MT_INVALID, "gemini_refused"},
        {403, "{\"error\":{\"message\":\"k-secret is not a key\"}}", MT_UNAVAILABLE, "gemini_key_refused"},
        {404, "", MT_NOT_FOUND, "gemini_model_unknown"},
        {429, "{}", MT_LIMITED, "gemini_limited"},
        {500, "<html>", MT_UNAVAILABLE, "gemini_failed"},
        {200, ADA, MT_UNAVAILABLE, "gemini_cut"},
        {200, "data: {\"candidates\":\n\n", MT_UNAVAILABLE, "gemini_answer_invalid"},
        {200, ADA "data: {\"error\":{\"code\":503,\"message\":\"overloaded\"}}\n\n", MT_UNAVAILABLE, "gemini_failed"},
        {200, "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n", MT_INVALID, "gemini_withheld"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run r = ask_simply(*state, cases[i].http, cases[i].answer);
        assert_int_equal(r.ended, cases[i].ended);
        assert_true(mt_slice_eq(r.code, mt_str(cases[i].code)));
        assert_false(quotes_the_key(mt_problem_detail(mt_testkit_call(*state))));
    }
}

static void a_client_that_leaves_ends_it(void **state)
{
    mt_testkit_begin(*state);
    mt_testkit_http(*state, URL, 200, ADA ADA ADA END);
    mt_testkit_cancel_after(*state, 2);          /* the request, the first part, and gone */
    run r = ask(*state, "[{\"role\":\"user\",\"content\":\"Who?\"}]", NULL);
    assert_int_equal(r.opened, MT_OK);
    assert_int_equal(r.ended, MT_CANCELLED);
}

static void without_a_key_nothing_is_sent(void **state)
{
    mt_testkit_config(*state, "{}");
    run r = ask_simply(*state, 200, END);
    assert_int_equal(r.opened, MT_UNAVAILABLE);
    assert_true(mt_slice_eq(r.code, MT_SLICE("gemini_key_missing")));
    assert_int_equal(mt_testkit_count(*state, MT_SEEN_HTTP), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_comes_in_pieces_and_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_goes_wrong_has_a_code, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_key_nothing_is_sent, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
