/* What counts as a save. The kernel has an event ready when the call that caused it returns, so nothing here waits for time to pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/plugin_watch.c"

static char dir[32];
static mti_watch w;

static const char *path(const char *name)
{
    static char paths[2][96];
    static int next;
    next = !next;
    snprintf(paths[next], sizeof paths[next], "%s/%s", dir, name);
    return paths[next];
}

static void save(const char *name)
{
    FILE *f = fopen(path(name), "w");
    assert_non_null(f);
    fputs("x", f);
    fclose(f);
}

static int set_up(void **state)
{
    mti_error e;
    strcpy(dir, "/tmp/mortise-watch-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    mkdir(path("sql"), 0755);
    mkdir(path("build"), 0755);
    return mti_watch_open(&w, dir, &e) == MT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[64];
    mti_watch_close(&w);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void test_saves_count(void **state)
{
    assert_false(mti_watch_wait(&w, 0));
    save("a.c");
    assert_true(mti_watch_wait(&w, 0));
    save("sql/001_x.sql");
    assert_true(mti_watch_wait(&w, 0));
    assert_int_equal(rename(path("a.c"), path("b.c")), 0);
    assert_true(mti_watch_wait(&w, 0));
    unlink(path("b.c"));
    assert_true(mti_watch_wait(&w, 0));
    assert_false(mti_watch_wait(&w, 0));
}

/* vim and many others write beside the file and rename. */
static void test_a_file_that_takes_anothers_place_counts_once(void **state)
{
    save("a.c");
    assert_true(mti_watch_wait(&w, 0));
    save(".a.c.swp");
    save("a.c.new");
    assert_int_equal(rename(path("a.c"), path("a.c~")), 0);
    assert_int_equal(rename(path("a.c.new"), path("a.c")), 0);
    assert_true(mti_watch_wait(&w, 0));
    assert_false(mti_watch_wait(&w, 0));
}

static void test_what_does_not_count(void **state)
{
    save(".hidden");
    save("a.c~");
    save("build/x.o");
    mkdir(path("build/plugins"), 0755);
    assert_false(mti_watch_wait(&w, 0));
    FILE *f = fopen(path("empty.c"), "w");      /* begun, not saved */
    assert_false(mti_watch_wait(&w, 0));
    fclose(f);
    assert_true(mti_watch_wait(&w, 0));
}

static void test_folders_that_come_later(void **state)
{
    mkdir(path("files"), 0755);
    assert_true(mti_watch_wait(&w, 0));
    mkdir(path("files/deep"), 0755);
    assert_true(mti_watch_wait(&w, 0));
    save("files/deep/a.json");
    assert_true(mti_watch_wait(&w, 0));
}

static void test_a_folder_that_is_not_there(void **state)
{
    mti_watch none;
    mti_error e;
    assert_int_equal(mti_watch_open(&none, "/nowhere/at/all", &e), MT_INTERNAL);
    assert_string_equal(e.code, "cannot_watch");
    mti_watch_close(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_saves_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_that_takes_anothers_place_counts_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_does_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folders_that_come_later, set_up, tear_down),
        cmocka_unit_test(test_a_folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
