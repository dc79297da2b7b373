/* The plugin against the fake host; what is Rust in it is linked as a static library. */
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin rust_tally_plugin;

static mt_testkit *kit;

static int set_up(void **state)
{
    kit = mt_testkit_create(&rust_tally_plugin, MORTISE_PLUGIN_DIR);
    return kit ? 0 : -1;
}

static int tear_down(void **state)
{
    mt_testkit_destroy(kit);
    return 0;
}

static void a_vote_is_answered_with_its_count(void **state)
{
    mt_testkit_query(kit, "vote_add", "[{\"choice\":\"tea\",\"votes\":3}]");
    mt_testkit_body(kit, "{\"choice\":\"tea\"}");
    assert_int_equal(mt_testkit_run(kit, "on_vote"), MT_OK);
    assert_int_equal(mt_testkit_status(kit), 201);
}

static void the_result_adds_up(void **state)
{
    mt_testkit_query(kit, "vote_list", "[{\"choice\":\"tea\",\"votes\":3},{\"choice\":\"\\\"m\xc3\xa4te\\\"\\n\",\"votes\":1}]");
    assert_int_equal(mt_testkit_run(kit, "on_result"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit),
                        "{\"total\":4,\"choices\":[{\"choice\":\"tea\",\"votes\":3},{\"choice\":\"\\\"m\xc3\xa4te\\\"\\u000a\",\"votes\":1}]}");
}

static void a_place_that_nobody_took_is_not_found(void **state)
{
    mt_testkit_query(kit, "vote_list", "[{\"choice\":\"tea\",\"votes\":3}]");
    mt_testkit_param(kit, "place", "1");
    assert_int_equal(mt_testkit_run(kit, "on_place"), MT_OK);
    assert_string_equal(mt_testkit_json(kit, "/choice"), "tea");
    mt_testkit_begin(kit);
    mt_testkit_param(kit, "place", "2");
    assert_int_equal(mt_testkit_run(kit, "on_place"), MT_NOT_FOUND);
}

static void a_panic_becomes_a_problem(void **state)
{
    mt_testkit_query(kit, "vote_list", "[{\"choice\":\"tea\",\"votes\":\"many\"}]");
    assert_int_equal(mt_testkit_run(kit, "on_result"), MT_INTERNAL);
    assert_string_equal(mt_testkit_problem(kit), "plugin_panicked");
}

static void a_failure_of_the_host_is_passed_on(void **state)
{
    mt_testkit_query_fails(kit, "vote_list", 503, "database_down");
    assert_int_equal(mt_testkit_run(kit, "on_result"), MT_UNAVAILABLE);
    assert_string_equal(mt_testkit_problem(kit), "database_down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_vote_is_answered_with_its_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_result_adds_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_place_that_nobody_took_is_not_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_panic_becomes_a_problem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_of_the_host_is_passed_on, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
