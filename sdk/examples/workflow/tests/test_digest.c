/* The workflow against the fake host: what each step keeps, what follows it, and what happens when it runs twice. */
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin digest_plugin;

#define JOB "{\"run_id\":\"r1\"}"

static unsigned asked;

static mt_status search(void *self, mt_call *c, mt_slice query, mt_slice options, mt_slice *results)
{
    *results = MT_SLICE("[{\"number\":1}]");
    return MT_OK;
}

static mt_status llm_open(void *self, mt_call *c, const mt_llm_in *in, mt_handle *out)
{
    asked = 0;
    *out = 1;
    return MT_OK;
}

static mt_status llm_next(void *self, mt_call *c, mt_handle g, mt_slice *token)
{
    *token = asked ? MT_SLICE("it.") : MT_SLICE("Ada wrote ");
    return asked++ < 2 ? MT_OK : MT_DONE;
}

static const mt_retrieval_1_provider retrieval = {.size = sizeof retrieval, .version = 1, .search = search};
static const mt_llm_1_provider llm = {.size = sizeof llm, .version = 1, .open = llm_open, .next = llm_next};
static mt_testkit *kit;

static int set_up(void **state)
{
    kit = mt_testkit_create(&digest_plugin, MORTISE_PLUGIN_DIR);
    if (!kit)
        return -1;
    mt_testkit_service(kit, "retrieval/1", &retrieval, NULL);
    mt_testkit_service(kit, "llm/1", &llm, NULL);
    return 0;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(kit);
    return 0;
}

static void assert_query(unsigned n, const char *name, const char *arguments)
{
    const mt_seen *q = mt_testkit_seen(kit, MT_SEEN_QUERY, n);
    assert_non_null(q);
    assert_string_equal(q->name, name);
    if (arguments)
        assert_string_equal(q->text, arguments);
}

static void starting_makes_a_row_and_a_job_at_once(void **state)
{
    mt_testkit_query(kit, "run_create", "[{\"id\":\"r1\",\"subject\":\"Ada\",\"step\":\"collect\",\"text\":null,\"created_at\":\"2026-01-01T00:00:00Z\"}]");
    mt_testkit_body(kit, "{\"subject\":\"Ada\"}");
    assert_int_equal(mt_testkit_run(kit, "on_start"), MT_OK);
    assert_int_equal(mt_testkit_status(kit), 202);
    assert_query(0, "BEGIN", NULL);
    assert_query(2, "COMMIT", NULL);
    assert_string_equal(mt_testkit_seen(kit, MT_SEEN_JOB, 0)->text, JOB);
}

static void run_step(const char *state_row, const char *exec, int64_t taken)
{
    mt_testkit_query(kit, "run_state", state_row);
    mt_testkit_exec(kit, exec, taken);
    assert_int_equal(mt_testkit_job(kit, "on_step", JOB), MT_OK);
}

static void the_first_step_keeps_passages_and_puts_the_second(void **state)
{
    run_step("[{\"subject\":\"Ada\",\"step\":\"collect\",\"passages\":null}]", "run_collected", 1);
    assert_query(2, "run_collected", "{\"run_id\":\"r1\",\"passages\":\"[{\\\"number\\\":1}]\"}");
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_JOB), 1);
}

static void the_last_step_keeps_the_text(void **state)
{
    run_step("[{\"subject\":\"Ada\",\"step\":\"write\",\"passages\":\"[]\"}]", "run_written", 1);
    assert_query(2, "run_written", "{\"run_id\":\"r1\",\"text\":\"Ada wrote it.\"}");
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_JOB), 0);
}

static void a_step_that_another_job_took_is_not_followed(void **state)
{
    run_step("[{\"subject\":\"Ada\",\"step\":\"collect\",\"passages\":null}]", "run_collected", 0);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_JOB), 0);
}

static void a_run_that_is_done_or_gone_is_left_alone(void **state)
{
    mt_testkit_query(kit, "run_state", "[{\"subject\":\"Ada\",\"step\":\"done\",\"passages\":null}]");
    assert_int_equal(mt_testkit_job(kit, "on_step", JOB), MT_OK);
    mt_testkit_query(kit, "run_state", "[]");
    assert_int_equal(mt_testkit_job(kit, "on_step", JOB), MT_OK);
    assert_int_equal(mt_testkit_count(kit, MT_SEEN_QUERY), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starting_makes_a_row_and_a_job_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_step_keeps_passages_and_puts_the_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_step_keeps_the_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_step_that_another_job_took_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_that_is_done_or_gone_is_left_alone, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
