/* Values, their ranges and origins, and what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "config/config.h"

static void set_ok(mti_config *c, const char *name, const char *text)
{
    mti_error e = {0};
    if (mti_config_set(c, name, text, "flag", &e) != MT_OK)
        fail_msg("%s=%s: %s", name, text, e.detail);
}

static void set_refused(mti_config *c, const char *name, const char *text, const char *said)
{
    mti_error e = {0};
    assert_int_equal(mti_config_set(c, name, text, "flag", &e), MT_INVALID);
    if (!strstr(e.detail, said))
        fail_msg("%s=%s: \"%s\" does not say \"%s\"", name, text, e.detail, said);
}

static void test_defaults_have_the_default_origin(void **state)
{
    mti_config *c = mti_config_create();
    assert_string_equal(mti_config_str(c, "data.dir"), "./data");
    assert_int_equal(mti_config_int(c, "http.port"), 8000);
    assert_int_equal(mti_config_int(c, "http.body_limit"), 1 << 20);
    assert_int_equal(mti_config_int(c, "http.head_timeout"), 10000);
    assert_false(mti_config_bool(c, "outbound.allow_private"));
    assert_string_equal(mti_config_origin(c, "http.port"), "default");
    mti_config_destroy(c);
}

static void test_numbers_take_units_and_keep_their_range(void **state)
{
    mti_config *c = mti_config_create();
    set_ok(c, "http.upload_limit", "4GiB");
    assert_true(mti_config_int(c, "http.upload_limit") == 4LL << 30);
    set_ok(c, "http.upload_limit", "2048");
    assert_int_equal(mti_config_int(c, "http.upload_limit"), 2048);
    set_ok(c, "http.idle_timeout", "5m");
    assert_int_equal(mti_config_int(c, "http.idle_timeout"), 300000);
    set_refused(c, "http.idle_timeout", "30", "with its unit");
    set_refused(c, "http.port", "65536", "0..65535");
    set_refused(c, "http.port", "-1", "0..65535");
    set_refused(c, "http.port", "80x", "whole number");
    set_refused(c, "http.port", "", "whole number");
    set_refused(c, "http.port", " 80", "whole number");
    set_refused(c, "http.body_limit", "99999999999GiB", "a size");
    set_refused(c, "http.port", "99999999999999999999", "whole number");
    assert_int_equal(mti_config_int(c, "http.port"), 8000);
    mti_config_destroy(c);
}

static void test_words_have_one_spelling(void **state)
{
    mti_config *c = mti_config_create();
    set_ok(c, "log.level", "WARNING");
    assert_string_equal(mti_config_str(c, "log.level"), "warn");
    set_refused(c, "log.level", "war", "debug|info|warn|error");
    set_ok(c, "outbound.allow_private", "Yes");
    assert_true(mti_config_bool(c, "outbound.allow_private"));
    assert_string_equal(mti_config_str(c, "outbound.allow_private"), "true");
    set_refused(c, "outbound.allow_private", "maybe", "true or false");
    mti_config_destroy(c);
}

static void test_an_unknown_name_gets_the_nearest(void **state)
{
    mti_config *c = mti_config_create();
    set_refused(c, "http.prot", "1", "\"http.port\"");
    set_refused(c, "log.levels", "info", "\"log.level\"");
    mti_config_destroy(c);
}

static void test_the_stronger_source_stays(void **state)
{
    mti_config *c = mti_config_create();
    mti_error e;
    assert_int_equal(mti_config_set(c, "http.port", "1", "flag --port", &e), MT_OK);
    assert_int_equal(mti_config_set(c, "http.port", "2", "env PORT", &e), MT_OK);
    assert_int_equal(mti_config_set(c, "http.port", "3", "file x:1", &e), MT_OK);
    assert_int_equal(mti_config_int(c, "http.port"), 1);
    assert_string_equal(mti_config_origin(c, "http.port"), "flag --port");
    mti_config_destroy(c);
}

static void test_secrets_are_not_printed(void **state)
{
    mti_config *c = mti_config_create();
    set_ok(c, "database.url", "postgresql://u:hunter2@h/db");
    for (int json = 0; json < 2; json++) {
        mti_buf b;
        mti_buf_init(&b, 1 << 20);
        mti_config_print(c, json, &b);
        assert_null(strstr(b.p, "hunter2"));
        assert_non_null(strstr(b.p, json ? "\"value\":\"set\"" : "set"));
        assert_non_null(strstr(b.p, "http.port"));
        mti_buf_dispose(&b);
    }
    mti_config_destroy(c);
}

static void test_the_option_page_is_fresh(void **state)
{
    mti_buf page, file;
    mti_buf_init(&page, 1 << 20);
    mti_options_markdown(&page);
    assert_int_equal(mti_buf_read_file(&file, "core/config/OPTIONS.md", 1 << 20), MT_OK);
    if (!mt_slice_eq(mti_buf_slice(&page), mti_buf_slice(&file)))
        fail_msg(
            "core/config/OPTIONS.md is stale: mortise config --markdown > core/config/OPTIONS.md");
    mti_buf_dispose(&page);
    mti_buf_dispose(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_have_the_default_origin),
        cmocka_unit_test(test_numbers_take_units_and_keep_their_range),
        cmocka_unit_test(test_words_have_one_spelling),
        cmocka_unit_test(test_an_unknown_name_gets_the_nearest),
        cmocka_unit_test(test_the_stronger_source_stays),
        cmocka_unit_test(test_secrets_are_not_printed),
        cmocka_unit_test(test_the_option_page_is_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
