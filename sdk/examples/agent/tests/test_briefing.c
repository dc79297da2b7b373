/* The agent against the fake host, with a search and a model that are canned here. */
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin briefing_plugin;

#define ONE "[{\"number\":1,\"text\":\"Ada wrote it.\",\"score\":0.9}]"

/* --- the providers that it stands on --- */

typedef struct world {
    const char *results;
    mt_status opened, ended;     /* what the model answers */
    unsigned at;
    bool asked;
    char system[200], messages[200], passages[200];
} world;

static void keep(char *to, size_t size, mt_slice s)
{
    memcpy(to, s.p, s.len < size ? s.len : size - 1);
}

static mt_status search(void *self, mt_call *c, mt_slice query, mt_slice options, mt_slice *results)
{
    *results = mt_str(((world *)self)->results);
    return MT_OK;
}

static mt_status llm_open(void *self, mt_call *c, const mt_llm_in *in, mt_handle *out)
{
    world *w = self;
    w->asked = true;
    keep(w->system, sizeof w->system, in->system);
    keep(w->messages, sizeof w->messages, in->messages);
    keep(w->passages, sizeof w->passages, in->passages);
    *out = 1;
    return w->opened;
}

static mt_status llm_next(void *self, mt_call *c, mt_handle g, mt_slice *token)
{
    static const char *const words[] = {"Ada \"L.\"", " [1]"};
    world *w = self;
    if (w->at == 2)
        return w->ended;
    *token = mt_str(words[w->at++]);
    return MT_OK;
}

static mt_status llm_usage(void *self, mt_call *c, mt_handle g, mt_llm_counts *out)
{
    *out = (mt_llm_counts){.size = sizeof *out, .input_tokens = 12, .output_tokens = 3, .finish = MT_SLICE("stop"), .model = MT_SLICE("m")};
    return MT_OK;
}

static const mt_retrieval_1_provider retrieval = {.size = sizeof retrieval, .version = 1, .search = search};
static const mt_llm_1_provider llm = {.size = sizeof llm, .version = 1, .open = llm_open, .next = llm_next, .usage = llm_usage};

static world w;
static mt_testkit *kit;

static int set_up(void **state)
{
    w = (world){.results = ONE, .opened = MT_OK, .ended = MT_DONE};
    kit = mt_testkit_create(&briefing_plugin, MORTISE_PLUGIN_DIR);
    if (!kit)
        return -1;
    mt_testkit_service(kit, "retrieval/1", &retrieval, &w);
    mt_testkit_service(kit, "llm/1", &llm, &w);
    mt_testkit_body(kit, "{\"subject\":\"Who?\"}");
    return 0;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(kit);
    return 0;
}

static void assert_event(unsigned n, const char *name, const char *data)
{
    const mt_seen *e = mt_testkit_seen(kit, MT_SEEN_EVENT, n);
    assert_non_null(e);
    assert_string_equal(e->name, name);
    if (data)
        assert_string_equal(e->text, data);
}

static void it_streams_sources_words_and_the_end(void **state)
{
    assert_int_equal(mt_testkit_run(kit, "on_brief"), MT_OK);
    assert_event(0, "sources", ONE);
    assert_event(1, "token", "{\"text\":\"Ada \\\"L.\\\"\"}");
    assert_event(3, "done", "{\"finish\":\"stop\",\"model\":\"m\",\"input_tokens\":12,\"output_tokens\":3}");
    assert_string_equal(w.messages, "[{\"role\":\"user\",\"content\":\"Who?\"}]");
    assert_string_equal(w.passages, ONE);
}

static void the_prompt_is_configured(void **state)
{
    mt_testkit_config(kit, "{\"instructions\":\"In rhyme.\"}");
    assert_int_equal(mt_testkit_run(kit, "on_brief"), MT_OK);
    assert_string_equal(w.system, "In rhyme.");
}

static void without_passages_no_model_is_asked(void **state)
{
    w.results = "[]";
    assert_int_equal(mt_testkit_run(kit, "on_brief"), MT_NOT_FOUND);
    assert_string_equal(mt_testkit_problem(kit), "briefing_nothing_found");
    assert_false(w.asked);
}

static void a_busy_model_is_a_status_not_a_stream(void **state)
{
    w.opened = MT_LIMITED;
    assert_int_equal(mt_testkit_run(kit, "on_brief"), MT_LIMITED);
    assert_int_equal(mt_testkit_status(kit), 429);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_EVENT), 0);
}

static void a_model_that_fails_midway_ends_the_stream(void **state)
{
    w.ended = MT_UNAVAILABLE;
    assert_int_equal(mt_testkit_run(kit, "on_brief"), MT_UNAVAILABLE);
    assert_event(2, "token", NULL);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_EVENT), 3);   /* no "done"; the host writes "error" */
}

static void a_client_that_leaves_stops_it(void **state)
{
    mt_testkit_cancel_after(kit, 2);
    assert_int_equal(mt_testkit_run(kit, "on_brief"), MT_CANCELLED);
    assert_true(w.at < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_streams_sources_words_and_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_prompt_is_configured, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_passages_no_model_is_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_busy_model_is_a_status_not_a_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_model_that_fails_midway_ends_the_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_stops_it, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
