/* The plugin against the SDK's fake host: no server, no database. */
#include <mortise/hooks.h>
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin @IDENT@_plugin;

static int set_up(void **state)
{
    *state = mt_testkit_create(&@IDENT@_plugin, MORTISE_PLUGIN_DIR);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(*state);
    return 0;
}

static void test_summary_greets_and_counts(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_query(kit, "item_count", "[{\"items\":3}]");
    mt_testkit_config(kit, "{\"greeting\":\"Good morning\"}");
    mt_testkit_param(kit, "name", "Ada");
    assert_int_equal(mt_testkit_run(kit, "on_summary"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), "{\"message\":\"Good morning, Ada!\",\"items\":3}");
}

static void test_summary_answers_503_without_a_database(void **state)
{
    mt_testkit *kit = *state;
    mt_testkit_query_fails(kit, "item_count", 503, "database_down");
    assert_int_equal(mt_testkit_run(kit, "on_summary"), MT_UNAVAILABLE);
    assert_int_equal(mt_testkit_status(kit), 503);
}

static void test_a_refused_ending_is_denied(void **state)
{
    mt_testkit *kit = *state;
    mt_document_uploaded file = {.size = sizeof file, .file_name = MT_SLICE("plan.draft.md")};
    assert_int_equal(mt_testkit_hook(kit, "on_document_uploaded", &file), MT_DENY);
    assert_string_equal(mt_testkit_problem(kit), "@IDENT@_refused");
    file.file_name = MT_SLICE("plan.md");
    assert_int_equal(mt_testkit_hook(kit, "on_document_uploaded", &file), MT_CONTINUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_summary_greets_and_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_summary_answers_503_without_a_database, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refused_ending_is_denied, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
