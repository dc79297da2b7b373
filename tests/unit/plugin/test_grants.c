/* What the operator grants single plugins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/grants.h"

static mti_config *config;
static mti_error error;

static void grant(const char *text)
{
    memset(&error, 0, sizeof error);
    assert_int_equal(mti_config_set(config, "plugins.grants", text, "test", &error), MT_OK);
}

static void test_what_says_nothing(void **state)
{
    static const char *const bad[] = {"a", "a:read", "a:read:", "a:read:relative", ":read:/x", "a:reads:/x", "a:net:example.org:80", "a:host:", "a:host:x:0",
                                      "a:host:x:70000", "a:host:x:80x", "a:host::80", "a:read:/x,b", "a:write:/x,,b:read:/y", "a:read:/x,"};
    grant("");
    assert_int_equal(mti_grants_check(config, &error), MT_OK);
    grant(" a:read:/x , b:write:/y:z,c:host:*.example.org:8080,c:host:[::1]");
    assert_int_equal(mti_grants_check(config, &error), MT_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad - 1; i++) {
        grant(bad[i]);
        assert_int_equal(mti_grants_check(config, &error), MT_INVALID);
        assert_string_equal(error.code, "grant_invalid");
    }
    grant(bad[sizeof bad / sizeof *bad - 1]);        /* a comma at the end is no entry */
    assert_int_equal(mti_grants_check(config, &error), MT_OK);
}

static void test_paths(void **state)
{
    const char *at = NULL;
    char path[4096];
    bool writes;
    grant("a:read:/x, b:read:/other, a:host:example.org, a:write:/y:z");
    assert_true(mti_grants_path(config, "a", &at, path, &writes));
    assert_string_equal(path, "/x");
    assert_false(writes);
    assert_true(mti_grants_path(config, "a", &at, path, &writes));
    assert_string_equal(path, "/y:z");
    assert_true(writes);
    assert_false(mti_grants_path(config, "a", &at, path, &writes));
    at = NULL;
    assert_false(mti_grants_path(config, "c", &at, path, &writes));
}

static bool reaches(const char *slug, const char *host, unsigned port)
{
    return mti_grants_host(config, slug, mt_str(host), port);
}

static void test_hosts(void **state)
{
    grant("a:host:one.example.org:8080, a:host:*.two.org, b:host:*, c:host:[::1]:81");
    assert_true(reaches("a", "one.example.org", 8080) && reaches("a", "ONE.example.org", 8080));
    assert_false(reaches("a", "one.example.org", 443) || reaches("a", "two.example.org", 8080));
    assert_true(reaches("a", "x.two.org", 1) && reaches("a", "x.y.two.org", 443));
    assert_false(reaches("a", "two.org", 443) || reaches("a", "xtwo.org", 443));
    assert_true(reaches("b", "anything", 1));
    assert_true(reaches("c", "[::1]", 81));
    assert_false(reaches("c", "[::1]", 80) || reaches("d", "one.example.org", 8080));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_says_nothing), cmocka_unit_test(test_paths), cmocka_unit_test(test_hosts)};
    config = mti_config_create();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mti_config_destroy(config);
    return failed;
}
