/* The three sources: file, environment, flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

static char path[] = "/tmp/mortise-config-XXXXXX";

static mt_status read_text(mti_config *c, const char *text, mti_error *e)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return mti_config_read_file(c, path, e);
}

static void test_file_sections_comments_and_quotes(void **state)
{
    mti_config *c = mti_config_create();
    mti_error e = {0};
    const char *text = "# top\nhttp.port = 81   # why\n\n[log]\r\nlevel = debug\n[data]\ndir = \"a "
                       "# b\"\n[]\nkey.prefix=x=y";
    assert_int_equal(read_text(c, text, &e), MT_OK);
    assert_int_equal(mti_config_int(c, "http.port"), 81);
    assert_string_equal(mti_config_str(c, "log.level"), "debug");
    assert_string_equal(mti_config_str(c, "data.dir"), "a # b");
    assert_string_equal(mti_config_str(c, "key.prefix"), "x=y");
    char origin[256];
    snprintf(origin, sizeof origin, "file %s:2", path);
    assert_string_equal(mti_config_origin(c, "http.port"), origin);
    mti_config_destroy(c);
}

static void test_file_errors_name_file_and_line(void **state)
{
    mti_config *c = mti_config_create();
    mti_error e = {0};
    assert_int_equal(read_text(c, "http.port = 81\nhttp.prt = 82\n", &e), MT_INVALID);
    assert_non_null(strstr(e.detail, ":2)"));
    assert_non_null(strstr(e.detail, "http.port"));
    assert_int_equal(read_text(c, "nonsense\n", &e), MT_INVALID);
    assert_non_null(strstr(e.detail, "nonsense"));
    assert_int_equal(read_text(c, "http.port = many\n", &e), MT_INVALID);
    assert_non_null(strstr(e.detail, ":1)"));
    assert_int_equal(mti_config_read_file(c, "/nonexistent/x", &e), MT_NOT_FOUND);
    mti_config_destroy(c);
}

static void test_environment_own_names_win(void **state)
{
    mti_config *c = mti_config_create();
    mti_error e = {0};
    char *env[] = {
        "PORT=81", "MORTISE_HTTP_PORT=82", "LOG_LEVEL=", "DEFAULT_RATE_LIMIT=60", "PORTER=1", NULL};
    assert_int_equal(mti_config_read_env(c, env, &e), MT_OK);
    assert_int_equal(mti_config_int(c, "http.port"), 82);
    assert_string_equal(mti_config_origin(c, "http.port"), "env MORTISE_HTTP_PORT");
    assert_string_equal(mti_config_origin(c, "log.level"), "default");
    assert_int_equal(mti_config_int(c, "limits.requests_per_minute"), 60);
    char *bad[] = {"PORT=x", NULL};
    assert_int_equal(mti_config_read_env(c, bad, &e), MT_INVALID);
    assert_non_null(strstr(e.detail, "env PORT"));
    mti_config_destroy(c);
}

static void check_url(char **env, const char *url)
{
    mti_config *c = mti_config_create();
    mti_error e = {0};
    assert_int_equal(mti_config_read_env(c, env, &e), MT_OK);
    assert_string_equal(mti_config_str(c, "database.url"), url);
    mti_config_destroy(c);
}

static void test_database_url_from_a_group(void **state)
{
    check_url((char *[]){"POSTGRES_HOST=db", "POSTGRES_PORT=5433", "POSTGRES_USER=u",
                         "POSTGRES_PASSWORD=p@s/s", "POSTGRES_DB=d", NULL},
              "postgresql://u:p%40s%2Fs@db:5433/d");
    check_url((char *[]){"POSTGRES_HOST=/run/pg", "POSTGRES_USER=u", NULL},
              "postgresql://u@%2Frun%2Fpg:5432/u");
    check_url((char *[]){"POSTGRES_HOST=::1", NULL}, "postgresql://postgres@[::1]:5432/postgres");
    check_url((char *[]){"POSTGRES_USER=u", "POSTGRES_PASSWORD=p", NULL}, "");
    check_url((char *[]){"POSTGRES_HOST=db", "DATABASE_URL=postgres://x/y", NULL},
              "postgres://x/y");
    check_url((char *[]){"DATABASE_URL=postgresql+asyncpg://x/y?a=+", NULL},
              "postgresql://x/y?a=+");
}

static void test_unused_names_are_listed(void **state)
{
    const char *names[2];
    char *env[] = {"LICENSE_KEY=1", "REDIS_URL=x", "NEO4J_URI=", "CHROMA_HOST=h", "PORT=1", NULL};
    assert_int_equal(mti_config_ignored(env, names, 2), 3);
    assert_string_equal(names[0], "REDIS_URL");
    assert_string_equal(names[1], "LICENSE_KEY");
}

static void test_flags_are_taken_and_the_rest_stays(void **state)
{
    mti_config *c = mti_config_create();
    mti_error e = {0};
    char *argv[] = {
        "mortise", "serve", "--port", "81", "-v", "--http.host=0.0.0.0", "--outbound.allow_private",
        "--json",  "--",    "--port", "9",  NULL};
    int argc = 11;
    assert_int_equal(mti_config_read_args(c, &argc, argv, &e), MT_OK);
    const char *left[] = {"mortise", "serve", "-v", "--json", "--", "--port", "9"};
    assert_int_equal(argc, 7);
    for (int i = 0; i < 7; i++)
        assert_string_equal(argv[i], left[i]);
    assert_null(argv[7]);
    assert_int_equal(mti_config_int(c, "http.port"), 81);
    assert_string_equal(mti_config_str(c, "http.host"), "0.0.0.0");
    assert_true(mti_config_bool(c, "outbound.allow_private"));
    char *off[] = {"mortise", "--no-outbound.allow_private", "--no-port", NULL};
    argc = 3;
    assert_int_equal(mti_config_read_args(c, &argc, off, &e), MT_OK);
    assert_int_equal(argc, 2);
    assert_false(mti_config_bool(c, "outbound.allow_private"));
    mti_config_destroy(c);
}

static void test_flag_errors(void **state)
{
    mti_config *c = mti_config_create();
    mti_error e = {0};
    char *missing[] = {"mortise", "--port", NULL}, *bad[] = {"mortise", "--port=x", NULL};
    int argc = 2;
    assert_int_equal(mti_config_read_args(c, &argc, missing, &e), MT_INVALID);
    assert_non_null(strstr(e.detail, "needs a value"));
    argc = 2;
    assert_int_equal(mti_config_read_args(c, &argc, bad, &e), MT_INVALID);
    assert_non_null(strstr(e.detail, "flag --port"));
    mti_config_destroy(c);
}

static int make_file(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_sections_comments_and_quotes),
        cmocka_unit_test(test_file_errors_name_file_and_line),
        cmocka_unit_test(test_environment_own_names_win),
        cmocka_unit_test(test_database_url_from_a_group),
        cmocka_unit_test(test_unused_names_are_listed),
        cmocka_unit_test(test_flags_are_taken_and_the_rest_stays),
        cmocka_unit_test(test_flag_errors),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
