// The plugin against the fake host.
#include <mortise/testkit.h>

#include <cstdarg>
#include <cstdint>
#include <csetjmp>
extern "C" {
#include <cmocka.h>
}

extern "C" const mt_plugin cpp_tally_plugin;

static mt_testkit *kit;

static int set_up(void **)
{
    kit = mt_testkit_create(&cpp_tally_plugin, MORTISE_PLUGIN_DIR);
    return kit ? 0 : -1;
}

static int tear_down(void **)
{
    mt_testkit_destroy(kit);
    return 0;
}

static void a_vote_is_answered_with_its_count(void **)
{
    mt_testkit_query(kit, "vote_add", R"([{"choice":"tea","votes":3}])");
    mt_testkit_body(kit, R"({"choice":"tea"})");
    assert_int_equal(mt_testkit_run(kit, "on_vote"), MT_OK);
    assert_int_equal(mt_testkit_status(kit), 201);
}

static void the_result_adds_up(void **)
{
    mt_testkit_query(kit, "vote_list", R"([{"choice":"tea","votes":3},{"choice":"\"mate\"","votes":1}])");
    assert_int_equal(mt_testkit_run(kit, "on_result"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), R"({"total":4,"choices":[{"choice":"tea","votes":3},{"choice":"\"mate\"","votes":1}]})");
}

static void what_is_thrown_becomes_a_problem(void **)
{
    mt_testkit_query(kit, "vote_list", R"([{"choice":"tea","votes":3}])");
    mt_testkit_param(kit, "place", "2");
    assert_int_equal(mt_testkit_run(kit, "on_place"), MT_NOT_FOUND);
    assert_int_equal(mt_testkit_status(kit), 404);
    mt_testkit_query(kit, "vote_list", R"([{"choice":"tea","votes":"many"}])"); // std::stoll throws
    assert_int_equal(mt_testkit_run(kit, "on_result"), MT_INTERNAL);
}

static void a_failure_of_the_host_is_passed_on(void **)
{
    mt_testkit_query_fails(kit, "vote_list", 503, "database_down");
    assert_int_equal(mt_testkit_run(kit, "on_result"), MT_UNAVAILABLE);
    assert_string_equal(mt_testkit_problem(kit), "database_down");
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_vote_is_answered_with_its_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_result_adds_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_thrown_becomes_a_problem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_of_the_host_is_passed_on, set_up, tear_down)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
