/* A developer's folder: what `mortise plugin new` makes is well-formed, and each mistake in it is told with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/plugin_new.c"
#include "cli/plugin_work.h"

static char dir[] = "/tmp/mortise-work-XXXXXX";
static const mti_cli cli = {.json = true};      /* what is said goes to stderr */

static void folder(const char *kind, char out[64])
{
    char command[96];
    names v;
    mti_error e;
    assert_true(check_name("my-shop", &v));
    snprintf(out, 64, "%s/%s", dir, kind);
    snprintf(command, sizeof command, "rm -rf %s", out);
    assert_int_equal(system(command), 0);
    if (make(kind, out, &v, &e) != MT_OK)
        fail_msg("%s", e.detail);
}

static void replace(const char *in, const char *name, const char *old, const char *with)
{
    char path[160];
    mti_buf text;
    snprintf(path, sizeof path, "%s/%s", in, name);
    assert_int_equal(mti_buf_read_file(&text, path, 1 << 20), MT_OK);
    char *at = strstr(text.p, old);
    assert_non_null(at);
    FILE *f = fopen(path, "w");
    fprintf(f, "%.*s%s%s", (int)(at - text.p), text.p, with, at + strlen(old));
    fclose(f);
    mti_buf_dispose(&text);
}

static mt_status check(const char *in, mti_error *e)
{
    mti_work w;
    *e = (mti_error){0};
    MT_TRY(mti_work_open(&cli, in, &w, e));
    return mti_work_check(&w, e);
}

static void test_every_kind_is_well_formed(void **state)
{
    char path[64];
    mti_error e;
    for (size_t i = 0; i < KINDS; i++) {
        folder(kinds[i].name, path);
        if (check(path, &e) != MT_OK)
            fail_msg("%s: %s", kinds[i].name, e.detail);
    }
}

static void test_mistakes_have_a_place(void **state)
{
    static const struct {
        const char *file, *old, *with, *said;
    } rows[] = {
        {"plugin.json", "\"priority\": 100", "\"priority\": 5000", "plugin.json:4:80: /hooks/0/priority must be"},
        {"plugin.json", "\"abi\": 1,", "\"abi\": 1, \"abbi\": 1,", "plugin.json:1:71: /abbi "},
        {"plugin.json", "document.uploaded", "document.lost", "plugin.json:4:16: hook document.lost is not"},
        {"plugin.json", "\"maxLength\": 20", "\"maxLen\": 20", "plugin.json:8:43: /config_schema/properties/refused_ending/maxLen: "},
        {"plugin.json", "\"example\",", "\"example\"", "plugin.json:3:"},
        {"api.json", "\"x-query\": \"item_create\"", "\"x-query\": \"item_mend\"", "api.json:4:127: post /my-shop/items: x-query names no query"},
        {"api.json", "x-handler", "x-handling", "api.json:6:134: get /my-shop/summary: key x-handling is not known"},
        {"api.json", "\"format\": \"uuid\"", "\"format\": \"uid\"", "api.json:10:33: schemas my_shop_item: /properties/id/format: "},
        {"api.json", "\"minLength\": 1, \"maxLength\": 100", "\"minLen\": 1", "api.json:7:59: get /my-shop/summary: /properties/name/minLen: "},
        {"api.json", "\"schemas\": {", "\"schemas\": { \"a b\": {},", "api.json:8:16: schemas/a b is no schema"},
        {"queries.sql", ":title", ":titel", "queries.sql:4: parameter :titel"},
        {"sql/001_item.sql", "SELECT mt.", "RESET ROLE; SELECT mt.", "sql/001_item.sql:7: a plugin's migration may not run \"RESET ROLE"},
        {"policies/pace.lua", " then", "", "policies/pace.lua:5: "},
        {"policies/pace.lua", "limit.check", "limit.chek", "policies/pace.lua:1: There is no hook limit.chek"},
        {"policies/pace.test.json", "\"expect\"", "expect", "policies/pace.test.json:1:"},
    };
    char path[64];
    mti_error e;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        folder("plugin", path);
        replace(path, rows[i].file, rows[i].old, rows[i].with);
        if (check(path, &e) == MT_OK || strncmp(e.detail, rows[i].said, strlen(rows[i].said)))
            fail_msg("%s without \"%s\": \"%s\" does not begin with \"%s\"", rows[i].file, rows[i].old, e.detail, rows[i].said);
    }
}

static void test_code_needs_a_build_file(void **state)
{
    char path[64], cmake[80];
    mti_error e;
    folder("tool", path);
    snprintf(cmake, sizeof cmake, "%s/CMakeLists.txt", path);
    unlink(cmake);
    assert_int_equal(check(path, &e), MT_INVALID);
    assert_ptr_equal(strstr(e.detail, "plugin.json:3:"), e.detail);
    snprintf(path, sizeof path, "%s/nothing", dir);
    assert_int_equal(check(path, &e), MT_NOT_FOUND);
    assert_string_equal(e.code, "no_plugin");
}

static void test_without_code_it_is_copied(void **state)
{
    char path[64], gone[PATH_MAX + 32];
    mti_work w;
    mti_error e;
    folder("query", path);
    assert_int_equal(mti_work_open(&cli, path, &w, &e), MT_OK);
    assert_int_equal(mti_work_build(&w, true, &e), MT_OK);
    snprintf(gone, sizeof gone, "%s/README.md", w.built);
    assert_int_equal(access(gone, R_OK), 0);
    snprintf(gone, sizeof gone, "%s/README.md", path);
    unlink(gone);
    assert_int_equal(mti_work_build(&w, true, &e), MT_OK);
    snprintf(gone, sizeof gone, "%s/README.md", w.built);
    assert_int_equal(access(gone, R_OK), -1);
    snprintf(gone, sizeof gone, "%s/api.json", w.built);
    assert_int_equal(access(gone, R_OK), 0);
}

static void test_cases_run_here(void **state)
{
    char path[64];
    mti_work w;
    mti_error e;
    json_t *report = json_object();
    folder("policy", path);
    assert_int_equal(mti_work_open(&cli, path, &w, &e), MT_OK);
    assert_int_equal(mti_work_test(&w, report, &e), MT_OK);
    json_t *one = json_array_get(json_object_get(report, "policies"), 0);
    assert_int_equal(mti_json_get_int(one, "passed", 0), 3);
    replace(path, "policies/my_shop.lua", "\"password\"", "\"keyword\"");
    assert_int_equal(mti_work_test(&w, report, &e), MT_INVALID);
    assert_string_equal(e.code, "tests_failed");
    one = json_array_get(json_object_get(report, "policies"), 0);
    assert_int_equal(mti_json_get_int(one, "failed", 0), 2);
    json_decref(report);
}

static int start(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int stop(void **state)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_is_well_formed),
        cmocka_unit_test(test_mistakes_have_a_place),
        cmocka_unit_test(test_code_needs_a_build_file),
        cmocka_unit_test(test_without_code_it_is_copied),
        cmocka_unit_test(test_cases_run_here),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
