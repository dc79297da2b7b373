#include "support.h"

#include "bus/patch.h"
#include "json/json.h"

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
    const char *whole = "{\"document_id\":\"c\",\"chunk_id\":\"c\",\"score\":0,\"text\":\"\"}";
    assert_int_equal(set(&p, "/results/0/score", "0.75"), MT_OK);
    assert_int_equal(mti_patch_set_text(&p, MT_SLICE("/results/1/id"), MT_SLICE("\"")), MT_OK);
    assert_int_equal(set(&p, "/results/-", whole), MT_OK);
    assert_int_equal(mti_patch_apply(&p, &in, NULL), MT_OK);
    assert_text(in.results,
                "[{\"id\":\"a\",\"score\":0.75},{\"id\":\"\\\"\",\"score\":0.25},"
                "{\"document_id\":\"c\",\"chunk_id\":\"c\",\"score\":0,\"text\":\"\"}]");
}

static void whole_and_below_in_order(void **state)
{
    world *w = *state;
    mt_patch p;
    mti_patch_init(&p, &w->call, info(MTI_HOOK_CODE_ANALYZE));
    mt_code_analyze in = {.size = sizeof in, .findings = MT_SLICE("[]"), .score = 100};
    assert_int_equal(set(&p, "/findings/-", "{}"), MT_OK);
    assert_int_equal(set(&p, "/findings", "[{\"n\":2}]"), MT_OK);
    assert_int_equal(set(&p, "/findings/-", "{\"n\":3}"), MT_OK);
    assert_int_equal(set(&p, "/score", "80"), MT_OK);
    assert_int_equal(mti_patch_apply(&p, &in, NULL), MT_OK);
    assert_text(in.findings, "[{\"n\":2},{\"n\":3}]");
    assert_true(in.score == 80);
    mti_buf out;
    mti_buf_init(&out, 4096);
    mti_patch_write(&p, &out);
    assert_string_equal(
        out.p,
        "[{\"pointer\":\"/findings/-\",\"value\":{}},{\"pointer\":\"/findings\",\"value\":[{\"n\":2}]},"
        "{\"pointer\":\"/findings/-\",\"value\":{\"n\":3}},{\"pointer\":\"/score\",\"value\":80}]");
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
    mti_patch_trace(&p, NULL, false, 1000, &out);
    assert_string_equal(out.p, "[{\"pointer\":\"/findings\",\"bytes\":10},{\"pointer\":\"/score\",\"bytes\":8},{\"pointer\":\"/findings/-\",\"bytes\":299}]");
    mti_buf_clear(&out);
    mti_patch_trace(&p, NULL, true, 1000, &out);
    assert_string_equal(out.p, "[{\"pointer\":\"/findings\",\"value\":[\"secret\"]},{\"pointer\":\"/score\",\"value\":80},{\"pointer\":\"/findings/-\",\"bytes\":299}]");
    mti_buf_clear(&out);
    mti_patch_trace(&p, NULL, false, 80, &out);
    assert_string_equal(out.p, "[{\"pointer\":\"/findings\",\"bytes\":10},{\"more\":2}]");
    mti_buf_dispose(&out);
}

/* Whether the change is applied; when it is not, the payload must be as before and e tell where. */
static bool applies(world *w, int hook, void *payload, const char *pointer, const char *json, const char *where)
{
    mt_patch p;
    mti_error e = {0};
    char before[512];
    memcpy(before, payload, info(hook)->size);
    mti_patch_init(&p, &w->call, info(hook));
    assert_int_equal(set(&p, pointer, json), MT_OK);
    if (mti_patch_apply(&p, payload, &e) == MT_OK)
        return true;
    assert_memory_equal(before, payload, info(hook)->size);
    assert_string_equal(e.code, "patch_breaks_schema");
    assert_string_equal(e.pointer, where);
    assert_non_null(strstr(e.detail, where));
    return false;
}

static void the_catalogues_schemas_hold(void **state)
{
    world *w = *state;
    mt_document_uploaded file = {.size = sizeof file, .file_name = MT_SLICE("a.txt")};
    assert_false(applies(w, MTI_HOOK_DOCUMENT_UPLOADED, &file, "/file_name", "\"../a\"", "/file_name"));
    assert_false(applies(w, MTI_HOOK_DOCUMENT_UPLOADED, &file, "/file_name", "\"a\\u000ab\"", "/file_name"));
    assert_false(applies(w, MTI_HOOK_DOCUMENT_UPLOADED, &file, "/file_name", "\"\"", "/file_name"));
    assert_false(applies(w, MTI_HOOK_DOCUMENT_UPLOADED, &file, "/file_name", "null", "/file_name"));
    assert_true(applies(w, MTI_HOOK_DOCUMENT_UPLOADED, &file, "/file_name", "\"b \\u00e9.txt\"", NULL));
    mt_chat_prepare chat = {.size = sizeof chat, .query = MT_SLICE("q"), .system = MT_SLICE("s")};
    assert_false(applies(w, MTI_HOOK_CHAT_PREPARE, &chat, "/query", "\"\"", "/query"));
    assert_false(applies(w, MTI_HOOK_CHAT_PREPARE, &chat, "/temperature", "2.5", "/temperature"));
    assert_true(applies(w, MTI_HOOK_CHAT_PREPARE, &chat, "/temperature", "-1", NULL));
    assert_true(applies(w, MTI_HOOK_CHAT_PREPARE, &chat, "/system", "null", NULL));
    mt_chat_sentence sentence = {.size = sizeof sentence, .text = MT_SLICE("One.")};
    assert_false(applies(w, MTI_HOOK_CHAT_SENTENCE, &sentence, "/text", "null", "/text"));
    assert_true(applies(w, MTI_HOOK_CHAT_SENTENCE, &sentence, "/text", "\"\"", NULL));
    mt_code_analyze code = {.size = sizeof code, .findings = MT_SLICE("[]"), .score = 100};
    assert_false(applies(w, MTI_HOOK_CODE_ANALYZE, &code, "/score", "101", "/score"));
    assert_false(applies(w, MTI_HOOK_CODE_ANALYZE, &code, "/findings/-", "7", "/findings/0"));
    assert_false(applies(w, MTI_HOOK_CODE_ANALYZE, &code, "/findings", "{}", "/findings"));
    assert_true(applies(w, MTI_HOOK_CODE_ANALYZE, &code, "/findings/-", "{}", NULL));
    mt_retrieval_results found = {.size = sizeof found, .results = MT_SLICE("[]")};
    assert_false(applies(w, MTI_HOOK_RETRIEVAL_RESULTS, &found, "/results", "{}", "/results"));
    assert_false(applies(w, MTI_HOOK_RETRIEVAL_RESULTS, &found, "/results/-", "{\"document_id\":\"d\",\"chunk_id\":\"c\",\"score\":\"high\",\"text\":\"\"}", "/results/0/score"));
    assert_false(applies(w, MTI_HOOK_RETRIEVAL_RESULTS, &found, "/results/-", "{\"document_id\":\"d\",\"chunk_id\":\"c\",\"score\":1}", "/results/0/text"));
}

/* What broke its schema before the change is not the change's doing. */
static void only_what_was_patched_counts(void **state)
{
    world *w = *state;
    mt_retrieval_results found = {.size = sizeof found, .results = MT_SLICE("[{\"score\":1,\"text\":7}]")};
    assert_true(applies(w, MTI_HOOK_RETRIEVAL_RESULTS, &found, "/results/0/score", "0.5", NULL));
    assert_text(found.results, "[{\"score\":0.5,\"text\":7}]");
    assert_false(applies(w, MTI_HOOK_RETRIEVAL_RESULTS, &found, "/results/0/score", "\"x\"", "/results/0/score"));
    found.results = MT_SLICE("no JSON");
    assert_true(applies(w, MTI_HOOK_RETRIEVAL_RESULTS, &found, "/results", "[]", NULL));
}

static const mti_schema *one_schema(void *arg, const mti_hook_field *f)
{
    return strcmp(f->name, "body") ? NULL : arg;
}

static void what_cannot_be_told_is_refused(void **state)
{
    world *w = *state;
    json_t *text;
    mti_schema *s;
    mt_patch p;
    mti_error e = {0};
    mt_http_response in = {.size = sizeof in, .status = 200, .body = MT_SLICE("{}")};
    mti_buf large;
    mti_buf_init(&large, 1 << 20);
    mti_buf_adds(&large, "[0");
    for (int i = 0; i < 300000; i++)
        mti_buf_adds(&large, ",0");
    mti_buf_adds(&large, "]");
    assert_int_equal(mti_json_parse(MT_SLICE("{\"properties\":{\"list\":{\"items\":{\"allOf\":[{\"minimum\":0},{\"maximum\":1},{\"minimum\":0},{\"maximum\":1},"
                                             "{\"minimum\":0},{\"maximum\":1},{\"minimum\":0},{\"maximum\":1}]}}}}"), 0, &text, NULL), MT_OK);
    assert_int_equal(mti_schema_compile(text, NULL, NULL, 0, &s, NULL), MT_OK);
    mti_patch_init(&p, &w->call, info(MTI_HOOK_HTTP_RESPONSE));
    p.rules = &(mti_patch_rules){one_schema, s};
    assert_int_equal(set(&p, "/body/list", large.p), MT_OK);
    assert_int_equal(mti_patch_apply(&p, &in, &e), MT_INVALID);
    assert_non_null(strstr(e.detail, "too large to be checked"));
    assert_text(in.body, "{}");
    mti_buf_dispose(&large);
    mti_schema_destroy(s);
    json_decref(text);
}

static void who_emits_may_know_more(void **state)
{
    world *w = *state;
    json_t *text;
    mti_schema *s;
    mt_patch p;
    mti_error e = {0};
    mt_http_response in = {.size = sizeof in, .status = 200, .body = MT_SLICE("{\"calm\":true}")};
    assert_int_equal(mti_json_parse(MT_SLICE("{\"properties\":{\"calm\":{\"type\":\"boolean\"},\"id\":{\"format\":\"uuid\"}}}"), 0, &text, NULL), MT_OK);
    assert_int_equal(mti_schema_compile(text, NULL, NULL, 0, &s, NULL), MT_OK);
    const mti_patch_rules rules = {one_schema, s};
    mti_patch_init(&p, &w->call, info(MTI_HOOK_HTTP_RESPONSE));
    assert_int_equal(set(&p, "/body/calm", "7"), MT_OK);
    assert_int_equal(mti_patch_apply(&p, &in, NULL), MT_OK);
    in.body = MT_SLICE("{\"calm\":true}");
    p.rules = &rules;
    assert_int_equal(mti_patch_apply(&p, &in, &e), MT_INVALID);
    assert_string_equal(e.pointer, "/body/calm");
    assert_text(in.body, "{\"calm\":true}");
    mti_buf out;
    mti_buf_init(&out, 4096);
    mti_patch_trace(&p, &e, false, 1000, &out);
    assert_string_equal(out.p, "[{\"refused\":\"patch_breaks_schema\",\"detail\":\"/body/calm must be true or false (type).\"},{\"pointer\":\"/body/calm\",\"bytes\":1}]");
    mti_buf_clear(&out);
    mti_patch_trace(&p, &e, false, 90, &out);
    assert_string_equal(out.p, "[{\"refused\":\"patch_breaks_schema\"},{\"more\":1}]");
    mti_buf_dispose(&out);
    mti_patch_init(&p, &w->call, info(MTI_HOOK_HTTP_RESPONSE));
    p.rules = &rules;
    assert_int_equal(set(&p, "/body/id", "\"no uuid\""), MT_OK);
    assert_int_equal(mti_patch_apply(&p, &in, &e), MT_INVALID);
    mti_schema_destroy(s);
    json_decref(text);
}

static void every_schema_of_the_catalogue_compiles(void **state)
{
    unsigned n = 0;
    for (unsigned i = 0; i < mti_hook_count; i++)
        for (unsigned k = 0; k < mti_hook_catalogue[i].n_fields; k++) {
            const mti_hook_field *f = &mti_hook_catalogue[i].fields[k];
            json_t *text;
            mti_schema *s;
            if (!f->schema)
                continue;
            assert_true(f->patchable);
            assert_int_equal(mti_json_parse(mt_str(f->schema), 0, &text, NULL), MT_OK);
            assert_int_equal(mti_schema_compile(text, NULL, NULL, 0, &s, NULL), MT_OK);
            mti_schema_destroy(s);
            json_decref(text);
            n++;
        }
    assert_int_equal(n, 7);
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
        T(whole_and_below_in_order),    T(all_or_nothing), T(bounded), T(a_trace_hides_values_unless_told),
        T(the_catalogues_schemas_hold), T(only_what_was_patched_counts), T(who_emits_may_know_more), T(what_cannot_be_told_is_refused), T(every_schema_of_the_catalogue_compiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
