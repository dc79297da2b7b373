/* The tool against the SDK's fake host: no server, no model. */
#include <mortise/testkit.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const mt_plugin @IDENT@_plugin;

static void answers(const char *arguments, const char *result)
{
    mt_testkit *kit = mt_testkit_create(&@IDENT@_plugin, MORTISE_PLUGIN_DIR);
    assert_non_null(kit);
    mt_testkit_body(kit, arguments);
    assert_int_equal(mt_testkit_run(kit, "on_call"), MT_OK);
    assert_string_equal(mt_testkit_answer(kit), result);
    mt_testkit_destroy(kit);
}

static void test_days_between_dates(void **state)
{
    answers("{\"from\":\"2026-01-31\",\"to\":\"2026-03-01\"}", "{\"days\":29}");
    answers("{\"from\":\"2024-02-28\",\"to\":\"2024-03-01\"}", "{\"days\":2}");
    answers("{\"from\":\"2000-01-01\",\"to\":\"1900-01-01\"}", "{\"days\":-36524}");
    answers("{\"from\":\"1970-01-01\",\"to\":\"1970-01-01\"}", "{\"days\":0}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_days_between_dates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
