#include "support.h"

#include "bus/patch.h"

static const mti_hook_info *info(int hook)
{
    return &mti_hook_catalogue[hook];
}

static void assert_text(mt_slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.p, want, got.len);
}

static mt_status set(mt_patch *p, const char *pointer, const char *json)
{
    return mti_patch_set(p, mt_str(pointer), mt_str(json));
}

static void refuses_what_may_not_change(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CHAT_PREPARE));
    assert_int_equal(set(&p, "/workspace_id", "\"x\""), MT_INVALID);
    assert_int_equal(set(&p, "/nothing", "1"), MT_INVALID);
    assert_int_equal(set(&p, "query", "\"x\""), MT_INVALID);
    assert_int_equal(set(&p, "/", "\"x\""), MT_INVALID);
    assert_int_equal(set(&p, "", "\"x\""), MT_INVALID);
    assert_int_equal(set(&p, "/query/0", "\"x\""), MT_INVALID);
    assert_int_equal(set(&p, "/query", "7"), MT_INVALID);
    assert_int_equal(set(&p, "/query", "\"open"), MT_INVALID);
    assert_int_equal(set(&p, "/temperature", "\"warm\""), MT_INVALID);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/temperature"), MT_SLICE("1")), MT_INVALID);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/query"), MT_SLICE("a\0b")), MT_INVALID);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/query"), MT_SLICE("\xff")), MT_INVALID);
    assert_null(p.first);
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CHAT_ANSWERED));
    assert_int_equal(set(&p, "/answer", "\"x\""), MT_INVALID);
}

static void flat_fields(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CHAT_PREPARE));
    mt_chat_prepare in = {.size = sizeof in, .query = MT_SLICE("q"), .model = MT_SLICE("m")};
    assert_int_equal(set(&p, "/query", "\"a\\n\\u00e9\""), MT_OK);
    assert_int_equal(set(&p, "/temperature", "1"), MT_OK);
    assert_int_equal(set(&p, "/model", "null"), MT_OK);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/system"), MT_SLICE("a \"b\"")), MT_OK);
    assert_text(in.query, "q");
    assert_int_equal(mti_patch_apply(&p, &in, NULL), MT_OK);
    assert_text(in.query, "a\n\xc3\xa9");
    assert_text(in.system, "a \"b\"");
    assert_null(in.model.p);
    assert_true(in.temperature == 1.0);
}

static void below_a_json_field(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, info(MTI_HOOK_RETRIEVAL_RESULTS));
    mt_retrieval_results in = {
        .size = sizeof in,
        .results = MT_SLICE("[{\"id\":\"a\",\"score\":0.5},{\"id\":\"b\",\"score\":0.25}]")};
    assert_int_equal(set(&p, "/results/0/score", "0.75"), MT_OK);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/results/1/id"), MT_SLICE("\"")), MT_OK);
    assert_int_equal(set(&p, "/results/-", "{\"id\":\"c\"}"), MT_OK);
    assert_int_equal(mti_patch_apply(&p, &in, NULL), MT_OK);
    assert_text(in.results,
                "[{\"id\":\"a\",\"score\":0.75},{\"id\":\"\\\"\",\"score\":0.25},{\"id\":\"c\"}]");
}

static void whole_and_below_in_order(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CODE_ANALYZE));
    mt_code_analyze in = {.size = sizeof in, .findings = MT_SLICE("[]"), .score = 100};
    assert_int_equal(set(&p, "/findings/-", "1"), MT_OK);
    assert_int_equal(set(&p, "/findings", "[2]"), MT_OK);
    assert_int_equal(set(&p, "/findings/-", "3"), MT_OK);
    assert_int_equal(set(&p, "/score", "80"), MT_OK);
    assert_int_equal(mti_patch_apply(&p, &in, NULL), MT_OK);
    assert_text(in.findings, "[2,3]");
    assert_true(in.score == 80);
    mti_buf out;
    mti_buf_init(&out, 4096);
    mti_patch_write(&p, &out);
    assert_string_equal(
        out.p,
        "[{\"pointer\":\"/findings/-\",\"value\":1},{\"pointer\":\"/findings\",\"value\":[2]},"
        "{\"pointer\":\"/findings/-\",\"value\":3},{\"pointer\":\"/score\",\"value\":80}]");
    mti_buf_dispose(&out);
}

static void a_trace_hides_values_unless_told(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_buf out;
    char longer[300];
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CODE_ANALYZE));
    memset(longer, '"', sizeof longer - 1);
    memset(longer + 1, 'x', sizeof longer - 3);
    longer[sizeof longer - 1] = 0;
    mti_buf_init(&out, 4096);
    assert_int_equal(set(&p, "/findings", "[\"secret\"]"), MT_OK);
    assert_int_equal(set(&p, "/score", "80"), MT_OK);
    assert_int_equal(set(&p, "/findings/-", longer), MT_OK);
    mti_patch_trace(&p, false, 1000, &out);
    assert_string_equal(out.p, "[{\"pointer\":\"/findings\",\"bytes\":10},{\"pointer\":\"/score\",\"bytes\":8},{\"pointer\":\"/findings/-\",\"bytes\":299}]");
    mti_buf_clear(&out);
    mti_patch_trace(&p, true, 1000, &out);
    assert_string_equal(out.p, "[{\"pointer\":\"/findings\",\"value\":[\"secret\"]},{\"pointer\":\"/score\",\"value\":80},{\"pointer\":\"/findings/-\",\"bytes\":299}]");
    mti_buf_clear(&out);
    mti_patch_trace(&p, false, 80, &out);
    assert_string_equal(out.p, "[{\"pointer\":\"/findings\",\"bytes\":10},{\"more\":2}]");
    mti_buf_dispose(&out);
}

static void all_or_nothing(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CODE_ANALYZE));
    mt_code_analyze in = {.size = sizeof in, .findings = MT_SLICE("[]"), .score = 100};
    mti_error e = {0};
    assert_int_equal(set(&p, "/score", "1"), MT_OK);
    assert_int_equal(set(&p, "/findings/7/x", "1"), MT_OK);
    assert_int_not_equal(mti_patch_apply(&p, &in, &e), MT_OK);
    assert_true(in.score == 100);
    assert_text(in.findings, "[]");
    assert_true(e.code[0] != 0);
}

static void bounded(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CODE_ANALYZE));
    for (int i = 0; i < 256; i++)
        assert_int_equal(set(&p, "/score", "1"), MT_OK);
    assert_int_equal(set(&p, "/score", "1"), MT_INVALID);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(refuses_what_may_not_change), T(flat_fields),    T(below_a_json_field),
        T(whole_and_below_in_order),    T(all_or_nothing), T(bounded), T(a_trace_hides_values_unless_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
