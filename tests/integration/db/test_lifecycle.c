/* The database going away and coming back: what is told, what is tried again, what is heard; and
 * the managed server's own life. */
#include "support.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    return mti_mono_us() / 1000;
}

static int ups, downs, resets, notes;
static char heard[64];
static bool heard_note;

static void on_state(void *arg, bool up)
{
    ups += up;
    downs += !up;
}

static void on_notify(void *arg, const char *payload)
{
    resets += payload == NULL;
    notes += payload != NULL;
    if (payload)
        snprintf(heard, sizeof heard, "%s", payload);
    heard_note = payload != NULL;
}

static void notify(mt_call *c)
{
    exec_ok(c, "INSERT INTO mt.plugin (slug) VALUES ('p1') ON CONFLICT (slug) DO UPDATE SET "
               "changed_at = now()");
}

static void test_listen(void **state)
{
    mti_db_on_state(w.db, on_state, NULL);
    mti_db_listen(w.db, w.loop, "mt_cache", on_notify, NULL);
    turn_for(200);
    assert_int_equal(resets >= 1, 1);
    in_fiber(nobody, notify);
    turn_until(&heard_note, 1000);
    assert_string_equal(heard, "plugin p1");
    assert_int_equal(notes, 1);
}

static void make_table(mt_call *c)
{
    exec_ok(c, "CREATE TABLE mt.life (n int)");
}

static pid_t victim;

static void find_reader(mt_call *c)
{
    victim = atoi(value(c, NULL,
                        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.3)%' AND "
                        "state = 'active' AND pid <> pg_backend_pid()"));
}

static void find_writer(mt_call *c)
{
    victim = atoi(value(c, NULL,
                        "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%' AND "
                        "state = 'active' AND pid <> pg_backend_pid()"));
}

static void find_victim(void (*fn)(mt_call *c))
{
    victim = 0;
    for (int i = 0; i < 200 && victim <= 1; i++) {
        turn_for(5);
        in_fiber(nobody, fn);
    }
    assert_true(victim > 1);
}

static void read_slowly(mt_call *c)
{
    assert_string_equal(value(c, NULL, "-- slow\nSELECT 'answered' FROM pg_sleep(0.3)"),
                        "answered");
}

/* A lost read is run once more and answers as if nothing had been. */
static void test_lost_read(void **state)
{
    bool reader;
    start_fiber(org_a, read_slowly, &reader);
    find_victim(find_reader);
    kill(victim, SIGTERM);
    turn_until(&reader, 5000);
    assert_int_equal(downs, 0);
}

static bool inserted, crashed;

static void write_slowly(mt_call *c)
{
    assert_status(run(c, NULL, query("x :one write", "SELECT pg_sleep(20)"), NULL), MT_UNAVAILABLE);
    assert_string_equal(c->error.code, "outcome_unknown");
    assert_int_equal(mti_error_http(&c->error), 503);
}

static void transaction_open(mt_call *c)
{
    assert_ok(mti_db_begin(c, NULL));
    assert_ok(run(c, NULL, query("x :exec", "INSERT INTO mt.life VALUES (1)"), NULL));
    inserted = true;
    while (!crashed)
        mti_sleep(10);
    assert_status(run(c, NULL, query("x :exec", "INSERT INTO mt.life VALUES (2)"), NULL),
                  MT_UNAVAILABLE);
    assert_string_equal(c->error.code, "database_unavailable");
    assert_status(mti_db_commit(c), MT_UNAVAILABLE);
}

static void count_none(mt_call *c)
{
    assert_string_equal(value(c, NULL, "SELECT count(*) FROM mt.life"), "0");
}

static void wait_until_up(void)
{
    for (int i = 0; i < 2000 && !mti_db_up(w.db); i++)
        turn_for(10);
    assert_true(mti_db_up(w.db));
}

static void test_backend_crash(void **state)
{
    bool writer, open;
    in_fiber(nobody, make_table);
    start_fiber(org_a, write_slowly, &writer);
    start_fiber(org_a, transaction_open, &open);
    turn_until(&inserted, 5000);
    find_victim(find_writer);
    int64_t start = now_ms();
    kill(victim, SIGKILL); /* PostgreSQL then drops all sessions and recovers by itself */
    turn_until(&writer, 5000);
    for (int i = 0; i < 500 && !downs; i++)
        turn_for(10);
    crashed = true;
    turn_until(&open, 5000);
    wait_until_up();
    print_message("a process of PostgreSQL killed: up again after %d ms\n",
                  (int)(now_ms() - start));
    in_fiber(nobody, count_none);
    assert_int_equal(downs, 1);
    assert_int_equal(ups, 1);
}

static void told_down(mt_call *c)
{
    int64_t start = now_ms();
    assert_status(run(c, NULL, query("x :one", "SELECT 1"), NULL), MT_UNAVAILABLE);
    assert_string_equal(c->error.code, "database_unavailable");
    assert_in_range(now_ms() - start, 0, 4000);
}

static void told_down_at_once(mt_call *c)
{
    int64_t start = now_ms();
    told_down(c);
    assert_in_range(now_ms() - start, 0, 1000); /* waits no more */
    assert_status(mti_db_begin(c, NULL)
                      ? MT_INTERNAL
                      : run(c, NULL, query("x :exec", "DELETE FROM mt.life"), NULL),
                  MT_UNAVAILABLE);
    assert_string_equal(c->error.code, "database_unavailable");
}

static void works(mt_call *c)
{
    assert_string_equal(value(c, NULL, "SELECT 'works'"), "works");
}

static void *restart(void *failed)
{
    mti_error e = {0};
    if (mti_managed_restart(w.server, &e)) {
        fprintf(stderr, "%s: %s\n", e.code, e.detail);
        *(bool *)failed = true;
    }
    return NULL;
}

static void test_postmaster_killed(void **state)
{
    int how;
    bool failed = false;
    pid_t before = mti_managed_pid(w.server);
    resets = 0;
    kill(before, SIGKILL);
    assert_int_equal(waitpid(before, &how, 0), before);
    for (int i = 0; i < 1000 && mti_db_up(w.db); i++)
        turn_for(5); /* the server's processes notice that they are orphans */
    in_fiber(org_a, told_down);
    turn_for(2100);
    assert_false(mti_db_up(w.db));
    in_fiber(org_a, told_down_at_once);
    int64_t start = now_ms();
    restart(&failed);
    assert_false(failed);
    assert_int_not_equal(mti_managed_pid(w.server), before);
    wait_until_up();
    in_fiber(org_a, works);
    print_message("PostgreSQL killed: working again %d ms after its restart began\n",
                  (int)(now_ms() - start));
    heard_note = false;
    while (!resets && now_ms() - start < 20000)
        mti_loop_step(w.loop, 10);
    assert_true(resets >= 1); /* drop what is cached */
    in_fiber(nobody, notify);
    turn_until(&heard_note, 3000);
}

static void test_left_over_is_ended(void **state)
{
    mti_error e = {0};
    mti_managed *second;
    pid_t first = mti_managed_pid(w.server);
    if (mti_managed_start(w.dir, &second, &e) || mti_managed_wait(second, 10000, &e))
        fail_msg("%s", e.detail);
    assert_int_not_equal(mti_managed_pid(second), first);
    mti_managed_stop(w.server);
    w.server = second;
    for (int i = 0; i < 500 && downs < 3; i++)
        turn_for(10); /* the first server's connections end */
    wait_until_up();
    in_fiber(org_a, works);
}

static void test_other_version_is_refused(void **state)
{
    char path[256];
    mti_error e = {0};
    mti_managed *m;
    snprintf(path, sizeof path, "%s/old", w.dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path,
             "mkdir -p %s/old/postgres/data && echo 14 > %s/old/postgres/data/PG_VERSION", w.dir,
             w.dir);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/old", w.dir);
    assert_int_equal(mti_managed_start(path, &m, &e), MT_UNSUPPORTED);
    assert_non_null(strstr(e.detail, "pg_upgrade"));
}

static void test_private_parent(void **state)
{
    char path[128], id[16];
    mti_error e = {0};
    mti_managed *m;
    snprintf(path, sizeof path, "%s/private", w.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/private/data", w.dir);
    if (mti_managed_start(path, &m, &e) || mti_managed_wait(m, 20000, &e))
        fail_msg("%s", e.detail);
    snprintf(id, sizeof id, "%d", mti_managed_pid(m));
    mti_managed_stop(m);
    assert_int_not_equal(kill(atoi(id), 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_lost_read),
        cmocka_unit_test(test_backend_crash),
        cmocka_unit_test(test_postmaster_killed),
        cmocka_unit_test(test_left_over_is_ended),
        cmocka_unit_test(test_other_version_is_refused),
        cmocka_unit_test(test_private_parent),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
