/* The three lanes: what is slow, locked, cancelled or late never holds up somebody else's short
 * reads. */
#include "support.h"

#include "loop/fiber.h"

static const char P[] = "mt_p_notes";
static const char note_1[] = "0190c000-0000-7000-8000-000000000001";

static int64_t now_ms(void)
{
    return mti_mono_us() / 1000;
}

static void prepare(mt_call *c)
{
    make_notes(c);
    assert_ok(run(c, P,
                  query("add :exec", "INSERT INTO notes.note (id, title) VALUES (:id, 'first')"),
                  NULL, note_1));
}

static void read_slowly(mt_call *c)
{
    mti_db_stats before, after;
    mti_db_get_stats(w.db, &before);
    assert_string_equal(value(c, NULL, "SELECT 'late' FROM pg_sleep(0.4)"), "late");
    mti_db_get_stats(w.db, &after);
    assert_int_equal(after.reads_moved - before.reads_moved, 1);
}

static void test_slow_read_moves(void **state)
{
    in_fiber(org_a, prepare);
    in_fiber(org_a, read_slowly);
}

static void read_with_deadline(mt_call *c)
{
    int64_t start = now_ms();
    c->deadline_us = mti_mono_us() + 120000;
    assert_status(run(c, NULL, query("x :one slow", "SELECT pg_sleep(5)"), NULL), MT_TIMEOUT);
    assert_int_equal(mti_error_http(&c->error), 504);
    assert_in_range(now_ms() - start, 100, 600);
    c->deadline_us = mti_mono_us() - 1;
    assert_status(run(c, NULL, query("x :one", "SELECT 1"), NULL), MT_TIMEOUT);
}

static void test_deadline(void **state)
{
    in_fiber(org_a, read_with_deadline);
}

static void write_in_read_lane(mt_call *c)
{
    assert_status(run(c, NULL, query("x :one", "SELECT mt.quota_set(mt.org_id(), 'x', 1)"), NULL),
                  MT_INTERNAL);
    assert_string_equal(mti_db_sqlstate(c), "25006");
}

static void test_read_lane_is_read_only(void **state)
{
    in_fiber(org_a, write_in_read_lane);
}

static bool holding, release;

static void hold_lock(mt_call *c)
{
    assert_ok(mti_db_begin(c, &(mti_db_role){P}));
    assert_ok(run(c, P, query("x :one", "UPDATE notes.note SET rank = 1 RETURNING id"), NULL));
    holding = true;
    while (!release)
        mti_sleep(5);
    assert_ok(mti_db_commit(c));
}

static void wait_for_lock(mt_call *c)
{
    assert_status(run(c, P, query("y :one", "UPDATE notes.note SET rank = 2 RETURNING id"), NULL),
                  MT_UNAVAILABLE);
    assert_string_equal(c->error.code, "locked");
}

static int64_t slowest_us;
static int reads;

static void read_often(mt_call *c)
{
    for (int i = 0; i < 50; i++) {
        int64_t start = mti_mono_us();
        assert_string_equal(value(c, P, "SELECT count(*) FROM notes.note"), "1");
        int64_t took = mti_mono_us() - start;
        slowest_us = took > slowest_us ? took : slowest_us;
        reads++;
    }
}

static void test_lock_never_blocks_reads(void **state)
{
    bool held, waited[4], read[8];
    start_fiber(org_a, hold_lock, &held);
    turn_until(&holding, 2000);
    for (int i = 0; i < 4; i++)
        start_fiber(org_a, wait_for_lock, &waited[i]);
    for (int i = 0; i < 8; i++)
        start_fiber(org_a, read_often, &read[i]);
    for (int i = 0; i < 8; i++)
        turn_until(&read[i], 5000);
    assert_false(waited[0]); /* the writers still wait while all reads are over */
    for (int i = 0; i < 4; i++)
        turn_until(&waited[i], 4000); /* lock_timeout, 2 s */
    release = true;
    turn_until(&held, 2000);
    print_message("%d reads beside a held lock, the slowest took %.1f ms\n", reads,
                  (double)slowest_us / 1000);
    assert_in_range(slowest_us, 0, 400000);
}

static mti_fiber *sleeper;

static void sleep_long(mt_call *c)
{
    sleeper = mti_fiber_current();
    assert_status(run(c, NULL, query("x :one slow", "SELECT pg_sleep(20)"), NULL), MT_CANCELLED);
}

static void sleep_short_lane(mt_call *c)
{
    sleeper = mti_fiber_current();
    assert_status(run(c, NULL, query("x :one", "SELECT pg_sleep(0.2)"), NULL), MT_CANCELLED);
}

static void nothing_runs(mt_call *c)
{
    assert_string_equal(value(c, NULL,
                              "SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                              "'%sleep(20)%' AND state = 'active' AND pid <> pg_backend_pid()"),
                        "0");
    assert_string_equal(value(c, NULL, "SELECT 'fine'"), "fine");
    assert_ok(run(c, NULL, query("x :one slow", "SELECT 1"), NULL));
    assert_ok(run(c, NULL, query("x :one slow", "SELECT 2"), NULL));
}

static void cancel_one(void (*fn)(mt_call *c))
{
    bool done;
    start_fiber(org_a, fn, &done);
    turn_for(60);
    assert_false(done);
    mti_fiber_cancel(sleeper);
    turn_until(&done, 300);
}

static void test_cancel(void **state)
{
    for (int i = 0; i < 5; i++) /* more often than the lane has connections */
        cancel_one(sleep_long);
    turn_for(100);
    in_fiber(org_a, nothing_runs);
    cancel_one(sleep_short_lane);
    in_fiber(org_a, nothing_runs);
}

static bool write_survived;

static void write_cancelled(mt_call *c)
{
    sleeper = mti_fiber_current();
    mt_status status =
        run(c, P,
            query("x :one write", "UPDATE notes.note SET title = 'kept' FROM (SELECT count(*) FROM "
                                  "generate_series(1, 3000000)) x RETURNING 1"),
            NULL);
    write_survived = status == MT_OK;
}

static void see_kept(mt_call *c)
{
    assert_string_equal(value(c, P, "SELECT title FROM notes.note"), "kept");
}

static void test_cancel_never_stops_a_write(void **state)
{
    bool done;
    start_fiber(org_a, write_cancelled, &done);
    turn_for(30);
    assert_false(done);
    mti_fiber_cancel(sleeper);
    turn_until(&done, 10000);
    assert_true(write_survived);
    in_fiber(org_a, see_kept);
}

static void slow_half(mt_call *c)
{
    assert_ok(run(c, NULL, query("x :one slow", "SELECT pg_sleep(0.3)"), NULL));
}

static void test_slow_lane_is_capped(void **state)
{
    bool a[3], b;
    int64_t start = now_ms();
    for (int i = 0; i < 3; i++)
        start_fiber(org_a, slow_half, &a[i]);
    start_fiber(org_b, slow_half, &b);
    turn_until(&b, 5000);
    assert_in_range(now_ms() - start, 290, 700); /* b did not wait behind a's three */
    assert_false(a[2]);
    turn_until(&a[2], 5000);
    assert_in_range(now_ms() - start, 890, 2500); /* one at a time */
}

static int busy;

static void hold_connection(mt_call *c)
{
    assert_ok(mti_db_begin(c, NULL));
    mt_status status = run(c, NULL, query("x :one", "SELECT 1"), NULL);
    if (status == MT_OK)
        mti_sleep(2500);
    else if (!strcmp(c->error.code, "database_busy"))
        busy++;
    mti_db_rollback(c);
}

static void write_b(mt_call *c)
{
    assert_string_equal(
        value(c, NULL, "SELECT 1 FROM (SELECT mt.quota_set(mt.org_id(), 'y', 1)) x FOR UPDATE"),
        "1");
}

static void test_pool_wait(void **state)
{
    bool done[7], other;
    busy = 0;
    for (int i = 0; i < 7; i++) /* one organization may hold six of eight */
        start_fiber(org_a, hold_connection, &done[i]);
    turn_for(200);
    start_fiber(org_b, write_b, &other);
    turn_until(&other, 500);
    for (int i = 0; i < 7; i++)
        turn_until(&done[i], 6000);
    assert_int_equal(busy, 1);
}

static void transactions(mt_call *c)
{
    mti_db_role role = {P};
    assert_ok(mti_db_begin(c, &role));
    assert_string_equal(value(c, P, "UPDATE notes.note SET title = 't1' RETURNING title"), "t1");
    assert_ok(mti_db_begin(c, &role));
    assert_status(run(c, P, query("x :one", "UPDATE notes.note SET rank = 0 RETURNING 1"), NULL),
                  MT_INVALID);
    mti_db_rollback(c); /* to the savepoint */
    assert_string_equal(value(c, P, "SELECT title FROM notes.note"), "t1");
    assert_string_equal(value(c, NULL, "SELECT current_user = session_user"),
                        "t"); /* the core's own, in between */
    assert_string_equal(value(c, P, "SELECT current_user"), "mt_p_notes");
    assert_ok(mti_db_begin(c, &role));
    assert_string_equal(value(c, P, "UPDATE notes.note SET title = 't2' RETURNING title"), "t2");
    assert_ok(mti_db_commit(c));
    assert_ok(mti_db_commit(c));
    assert_string_equal(value(c, P, "SELECT title FROM notes.note"), "t2");
}

static void failed_transaction(mt_call *c)
{
    assert_ok(mti_db_begin(c, &(mti_db_role){P}));
    assert_string_equal(value(c, P, "UPDATE notes.note SET title = 't3' RETURNING title"), "t3");
    assert_status(run(c, P, query("x :one", "UPDATE notes.note SET rank = 0 RETURNING 1"), NULL),
                  MT_INVALID);
    assert_status(mti_db_commit(c), MT_INVALID);
    assert_string_equal(c->error.code, "value_refused");
    assert_string_equal(value(c, P, "SELECT title FROM notes.note"), "t2");
    assert_ok(mti_db_begin(c, &(mti_db_role){P})); /* left open: the arena's reset rolls it back */
    assert_string_equal(value(c, P, "UPDATE notes.note SET title = 't4' RETURNING title"), "t4");
}

static void deferred(mt_call *c)
{
    assert_string_equal(value(c, P, "SELECT title FROM notes.note"), "t2");
    exec_ok(c, "CREATE TABLE mt.parent (id int PRIMARY KEY); CREATE TABLE mt.child (id int "
               "REFERENCES mt.parent DEFERRABLE INITIALLY DEFERRED)");
    assert_status(
        run(c, NULL, query("x :one", "INSERT INTO mt.child VALUES (1) RETURNING id"), NULL),
        MT_INVALID); /* told only at Sync */
    assert_string_equal(mti_db_sqlstate(c), "23503");
    assert_ok(mti_db_begin(c, NULL));
    assert_ok(run(c, NULL, query("x :one", "INSERT INTO mt.child VALUES (1) RETURNING id"), NULL));
    assert_status(mti_db_commit(c), MT_INVALID); /* told only at COMMIT */
    assert_string_equal(value(c, NULL, "SELECT count(*) FROM mt.child"), "0");
}

static void test_transactions(void **state)
{
    in_fiber(org_a, transactions);
    in_fiber(org_a, failed_transaction);
    in_fiber(org_a, deferred);
}

static void change_type(mt_call *c)
{
    static const char sql[] = "SELECT v FROM mt.shape";
    exec_ok(c, "CREATE TABLE mt.shape (v int); INSERT INTO mt.shape VALUES (1)");
    for (int i = 0; i < 4; i++)
        assert_string_equal(value(c, NULL, sql), "1");
    exec_ok(c, "ALTER TABLE mt.shape ALTER v TYPE text USING 'one'");
    for (int i = 0; i < 4; i++)
        assert_string_equal(value(c, NULL, sql),
                            "one"); /* "cached plan must not change result type", prepared again */
    assert_status(run(c, NULL, query("x :one", "SELECT absent FROM mt.shape"), NULL), MT_INTERNAL);
    assert_status(run(c, NULL, query("x :one", "SELECT absent FROM mt.shape"), NULL), MT_INTERNAL);
    exec_ok(c, "ALTER TABLE mt.shape ADD absent int DEFAULT 5");
    assert_string_equal(value(c, NULL, "SELECT absent FROM mt.shape"), "5");
    assert_string_equal(value(c, NULL, "-- custom\nSELECT current_setting('plan_cache_mode')"),
                        "force_custom_plan");
    assert_string_equal(value(c, NULL, "SELECT current_setting('plan_cache_mode')"), "auto");
}

static void test_prepared_statements_follow_the_schema(void **state)
{
    in_fiber(org_a, change_type);
}

static bool locked_one;

static void make_pair(mt_call *c)
{
    exec_ok(c, "CREATE TABLE mt.pair (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO "
               "mt.pair VALUES (1), (2)");
}

static void lock_one_then_two(mt_call *c)
{
    assert_ok(mti_db_begin(c, NULL));
    assert_ok(run(c, NULL, query("x :exec", "UPDATE mt.pair SET n = n + 1 WHERE id = 1"), NULL));
    locked_one = true;
    mti_sleep(300);
    assert_ok(run(c, NULL, query("x :exec", "UPDATE mt.pair SET n = n + 1 WHERE id = 2"), NULL));
    assert_ok(mti_db_commit(c));
}

/* Locks 2, waits for 1; is the first to look for a deadlock, hence its victim. */
static void lock_two_then_one(mt_call *c)
{
    assert_ok(run(c, NULL,
                  query("x :exec", "WITH l AS (SELECT id FROM mt.pair ORDER BY id DESC FOR UPDATE) "
                                   "UPDATE mt.pair p SET n = n + 10 FROM l WHERE p.id = l.id"),
                  NULL));
}

static void count_pair(mt_call *c)
{
    assert_string_equal(value(c, NULL, "SELECT string_agg(n::text, ',') FROM mt.pair"), "11,11");
    assert_string_equal(
        value(c, NULL,
              "SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()"),
        "t");
}

static void test_collisions_are_tried_again(void **state)
{
    bool one, two;
    in_fiber(org_a, make_pair);
    start_fiber(org_a, lock_one_then_two, &one);
    turn_until(&locked_one, 1000);
    start_fiber(org_a, lock_two_then_one, &two);
    turn_until(&one, 5000);
    turn_until(&two, 5000);
    turn_for(1100); /* the statistics come late */
    in_fiber(org_a, count_pair);
}

static void read_many(mt_call *c)
{
    const mti_query *q = query("get :one", "SELECT id, title FROM notes.note WHERE id = :id");
    for (int i = 0; i < 100; i++) {
        mti_result *r;
        assert_ok(run(c, P, q, &r, note_1));
        assert_int_equal(mti_result_rows(r), 1);
        assert_string_equal(mti_result_get(r, 0, 0).p, note_1);
        mti_result_free(r);
    }
}

static void test_pipelined_reads(void **state)
{
    bool done[100];
    int64_t start = mti_mono_us();
    for (int i = 0; i < 100; i++)
        start_fiber(org_a, read_many, &done[i]);
    for (int i = 0; i < 100; i++)
        turn_until(&done[i], 30000);
    double seconds = (double)(mti_mono_us() - start) / 1e6;
    print_message("10,000 reads under RLS by 100 fibers: %.0f a second\n", 10000 / seconds);
    assert_true(seconds < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_read_moves),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_read_lane_is_read_only),
        cmocka_unit_test(test_lock_never_blocks_reads),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_never_stops_a_write),
        cmocka_unit_test(test_slow_lane_is_capped),
        cmocka_unit_test(test_pool_wait),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_prepared_statements_follow_the_schema),
        cmocka_unit_test(test_collisions_are_tried_again),
        cmocka_unit_test(test_pipelined_reads),
    };
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
