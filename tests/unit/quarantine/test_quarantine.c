/* When a version goes into quarantine, for whom, and how it gets out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quarantine/quarantine.h"

#define ONE   "11111111-1111-1111-1111-111111111111"
#define OTHER "22222222-2222-2222-2222-222222222222"

static const mti_quarantine_rule rule = {.crashes = 3, .window_s = 300};

static const json_t *crash(json_t *q, int64_t at, const char *version, const char *org)
{
    const mti_crash c = {at, "p", version, org, "p.do", "SIGSEGV"};
    return mti_quarantine_crash(q, &c, &rule);
}

static json_t *fresh(void)
{
    return mti_quarantine_read("/nonexistent", NULL);
}

static void the_third_in_time_is_one_too_many(void **state)
{
    json_t *q = fresh();
    assert_null(crash(q, 1000, "1.0.0", ""));
    assert_null(crash(q, 1010, "1.0.0", ""));
    assert_null(crash(q, 1301, "1.0.0", "")); /* the first is too long ago */
    const json_t *entry = crash(q, 1302, "1.0.0", "");
    assert_non_null(entry);
    assert_true(json_is_null(json_object_get(entry, "organization_id")));
    assert_non_null(strstr(json_string_value(json_object_get(entry, "reason")), "3 times within 300 s"));
    assert_ptr_equal(mti_quarantine_find(q, "p", "1.0.0", NULL), entry);
    assert_null(mti_quarantine_find(q, "p", "1.0.1", NULL));
    assert_null(mti_quarantine_find(q, "x", "1.0.0", NULL));
    json_decref(q);
}

static void versions_count_apart(void **state)
{
    json_t *q = fresh();
    for (int i = 0; i < 2; i++) {
        assert_null(crash(q, 1000, "1.0.0", ""));
        assert_null(crash(q, 1000, "2.0.0", ""));
    }
    assert_non_null(crash(q, 1001, "2.0.0", ""));
    assert_null(mti_quarantine_find(q, "p", "1.0.0", NULL));
    json_decref(q);
}

static void one_organization_first_then_everybody(void **state)
{
    json_t *q = fresh();
    for (int i = 0; i < 2; i++)
        assert_null(crash(q, 1000, "1.0.0", ONE));
    assert_non_null(crash(q, 1000, "1.0.0", ONE));
    assert_non_null(mti_quarantine_find(q, "p", "1.0.0", ONE));
    assert_null(mti_quarantine_find(q, "p", "1.0.0", OTHER));
    assert_null(mti_quarantine_find(q, "p", "1.0.0", NULL));
    for (int i = 0; i < 2; i++)
        assert_null(crash(q, 1001, "1.0.0", OTHER)); /* counted from the start again */
    assert_non_null(crash(q, 1002, "1.0.0", OTHER));
    assert_non_null(mti_quarantine_find(q, "p", "1.0.0", NULL));
    assert_int_equal(json_array_size(json_object_get(q, "quarantined")), 1);
    json_decref(q);
}

static void mixed_callers_are_everybody(void **state)
{
    static const char *const others[] = {OTHER, ""};
    for (int i = 0; i < 2; i++) {
        json_t *q = fresh();
        assert_null(crash(q, 1000, "1.0.0", ONE));
        assert_null(crash(q, 1000, "1.0.0", others[i]));
        assert_non_null(crash(q, 1000, "1.0.0", ONE));
        assert_non_null(mti_quarantine_find(q, "p", "1.0.0", NULL));
        json_decref(q);
    }
}

static void a_clock_that_was_set_back_does_not_count_the_future(void **state)
{
    json_t *q = fresh();
    assert_null(crash(q, 90000, "1.0.0", ""));
    assert_null(crash(q, 90000, "1.0.0", ""));
    assert_null(crash(q, 1000, "1.0.0", ""));
    assert_int_equal(json_array_size(json_object_get(q, "crashes")), 1);
    json_decref(q);
}

static void history_is_bounded(void **state)
{
    static const mti_quarantine_rule never = {1000000, 86400};
    json_t *q = fresh();
    for (int i = 0; i < 1000; i++)
        mti_quarantine_crash(q, &(mti_crash){1000 + i, "p", "1.0.0", "", "", "SIGABRT"}, &never);
    json_t *crashes = json_object_get(q, "crashes");
    assert_int_equal(json_array_size(crashes), 256);
    assert_int_equal(mti_json_get_int(json_array_get(crashes, 255), "at", 0), 1999);
    json_decref(q);
}

static void release_forgets_all_of_a_plugin(void **state)
{
    json_t *q = fresh();
    for (int i = 0; i < 3; i++)
        crash(q, 1000, "1.0.0", "");
    for (int i = 0; i < 3; i++)
        crash(q, 1000, "2.0.0", ONE);
    crash(q, 1000, "3.0.0", "");
    assert_int_equal(mti_quarantine_release(q, "p"), 2);
    assert_int_equal(mti_quarantine_release(q, "p"), 0);
    assert_int_equal(json_array_size(json_object_get(q, "crashes")), 0);
    json_decref(q);
}

static void make_dir(char dir[32])
{
    strcpy(dir, "/tmp/mortise-quarantine-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void the_file_is_kept_whole(void **state)
{
    char dir[32], path[64];
    mti_error e = {0};
    make_dir(dir);
    json_t *q = fresh();
    for (int i = 0; i < 3; i++)
        crash(q, 1000, "1.0.0", ONE);
    assert_int_equal(mti_quarantine_write(dir, q, &e), MT_OK);
    json_t *back = mti_quarantine_read(dir, &e);
    assert_string_equal(e.detail, "");
    assert_true(json_equal(q, back));
    struct stat st;
    snprintf(path, sizeof path, "%s/quarantine.json", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    json_decref(q);
    json_decref(back);
    unlink(path);
    rmdir(dir);
}

static void who_tries_does_not_wait_for_ever(void **state)
{
    char dir[32], path[64];
    make_dir(dir);
    int first = mti_quarantine_lock(dir, 2);
    assert_true(first >= 0);
    assert_int_equal(mti_quarantine_lock(dir, 2), -1);
    mti_quarantine_unlock(first);
    int second = mti_quarantine_lock(dir, 2);
    assert_true(second >= 0);
    mti_quarantine_unlock(second);
    snprintf(path, sizeof path, "%s/quarantine.lock", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

enum { WRITERS = 4, EACH = 20 };

static void write_many(const char *dir, int who)
{
    const mti_quarantine_rule never = {.crashes = 1000, .window_s = 300};
    char version[16];
    snprintf(version, sizeof version, "%d.0.0", who);
    for (int i = 0; i < EACH; i++) {
        int lock = mti_quarantine_lock(dir, 0);
        json_t *q = mti_quarantine_read(dir, NULL);
        const mti_crash c = {1000 + i, "p", version, "", "p.do", "SIGSEGV"};
        if (lock < 0 || mti_quarantine_crash(q, &c, &never) || mti_quarantine_write(dir, q, NULL) != MT_OK)
            _exit(1);
        json_decref(q);
        mti_quarantine_unlock(lock);
    }
}

/* A supervisor and two hosts: nobody writes over what another has just added. */
static void writers_take_turns(void **state)
{
    char dir[32], path[64];
    pid_t pids[WRITERS];
    int status;
    make_dir(dir);
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (!pids[i]) {
            write_many(dir, i);
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    json_t *q = mti_quarantine_read(dir, NULL);
    assert_int_equal(json_array_size(json_object_get(q, "crashes")), WRITERS * EACH);
    json_decref(q);
    snprintf(path, sizeof path, "%s/quarantine.lock", dir);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/quarantine.json", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(mti_quarantine_lock("/nonexistent", 0), -1);
}

static void a_broken_file_is_an_empty_one_and_says_so(void **state)
{
    static const char *const texts[] = {"{\"crashes\": [", "[1, 2]", "", "{\"crashes\": 7, \"quarantined\": {\"p\": 1}}", "{\"quarantined\": [7, {\"plugin\": 7}]}"};
    char dir[32], path[64];
    make_dir(dir);
    snprintf(path, sizeof path, "%s/quarantine.json", dir);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mti_error e = {0};
        FILE *f = fopen(path, "w");
        fputs(texts[i], f);
        fclose(f);
        json_t *q = mti_quarantine_read(dir, &e);
        assert_int_equal(e.detail[0] != 0, i < 3);
        assert_null(mti_quarantine_find(q, "p", "1.0.0", NULL));
        crash(q, 1000, "1.0.0", "");
        crash(q, 1000, "1.0.0", "");
        assert_non_null(crash(q, 1000, "1.0.0", ""));
        json_decref(q);
    }
    unlink(path);
    rmdir(dir);
}

static void a_folder_that_cannot_be_written_is_an_error(void **state)
{
    mti_error e = {0};
    json_t *q = fresh();
    assert_int_equal(mti_quarantine_write("/nonexistent", q, &e), MT_INTERNAL);
    assert_string_equal(e.code, "quarantine_unwritable");
    json_decref(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_third_in_time_is_one_too_many),
        cmocka_unit_test(versions_count_apart),
        cmocka_unit_test(one_organization_first_then_everybody),
        cmocka_unit_test(mixed_callers_are_everybody),
        cmocka_unit_test(a_clock_that_was_set_back_does_not_count_the_future),
        cmocka_unit_test(history_is_bounded),
        cmocka_unit_test(release_forgets_all_of_a_plugin),
        cmocka_unit_test(the_file_is_kept_whole),
        cmocka_unit_test(who_tries_does_not_wait_for_ever), cmocka_unit_test(writers_take_turns),
        cmocka_unit_test(a_broken_file_is_an_empty_one_and_says_so),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
