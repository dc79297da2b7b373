/* The job queue's functions: delivery, leases, tries, dead letters, fairness between organizations.
 */
#include "support.h"

static const char P[] = "mt_p_notes";

static const char *put(mt_call *c, const char *key)
{
    char id[37];
    mti_result *r;
    mti_uuid_format(mti_uuid_v7(), id);
    assert_ok(
        run(c, P,
            query("put :one write",
                  "SELECT mt.job_put(:id, 'embed', NULL, '{\"n\":1}', :key, max_attempts => 2)"),
            &r, id, key));
    return mti_result_get(r, 0, 0).p;
}

static mti_result *take(mt_call *c, const char *n, const char *worker)
{
    mti_result *r;
    assert_ok(run(
        c, NULL,
        query(
            "take :many write",
            "SELECT id, org_id, attempts, payload FROM mt.job_take('embed', :n::int, 30, :worker)"),
        &r, n, worker));
    return r;
}

static void put_three(mt_call *c)
{
    make_notes(c);
    const char *first = put(c, "doc-1");
    assert_string_equal(put(c, "doc-1"), first); /* already waiting */
    put(c, NULL);
    put(c, NULL);
}

static void put_one(mt_call *c)
{
    put(c, NULL);
}

static void put_none(mt_call *c)
{
    assert_status(
        run(c, P,
            query("put :one write",
                  "SELECT mt.job_put('0190c000-0000-7000-8000-000000000001', 'embed', NULL, '{}')"),
            NULL),
        MT_INVALID);
    assert_string_equal(c->error.code, "organization_required");
}

static void take_fairly(mt_call *c)
{
    mti_result *one = take(c, "2", "w1");
    assert_int_equal(mti_result_rows(one), 2); /* one of each, though a has three that are older */
    assert_string_equal(mti_result_get(one, 0, 1).p, org_a);
    assert_string_equal(mti_result_get(one, 1, 1).p, org_b);
    mti_result *rest = take(c, "10", "w2");
    assert_int_equal(mti_result_rows(rest), 2);
    assert_int_equal(mti_result_rows(take(c, "10", "w3")), 0);
    const mti_query *done = query("done :one write", "SELECT mt.job_done(:id, :worker)");
    mti_result *r;
    assert_ok(run(c, NULL, done, &r, mti_result_get(one, 0, 0).p, "w2"));
    assert_string_equal(mti_result_get(r, 0, 0).p, "f"); /* not its job */
    assert_ok(run(c, NULL, done, &r, mti_result_get(one, 0, 0).p, "w1"));
    assert_string_equal(mti_result_get(r, 0, 0).p, "t");
    const mti_query *extend = query("extend :one write", "SELECT mt.job_extend(:id, 'w1', 60)");
    assert_ok(run(c, NULL, extend, &r, mti_result_get(one, 1, 0).p));
    assert_string_equal(mti_result_get(r, 0, 0).p, "t");
    const mti_query *fail = query("fail :one write", "SELECT mt.job_fail(:id, 'w2', 'no luck')");
    assert_ok(run(c, NULL, fail, &r, mti_result_get(rest, 0, 0).p));
    assert_string_equal(value(c, NULL,
                              "SELECT state || attempts || (run_at > now() + interval '1 second') "
                              "FROM mt.job WHERE last_error = 'no luck'"),
                        "ready1true");
    exec_ok(c, "UPDATE mt.job SET run_at = now() WHERE last_error = 'no luck'");
    assert_int_equal(mti_result_rows(take(c, "10", "w2")), 1);
    assert_ok(run(c, NULL, fail, &r, mti_result_get(rest, 0, 0).p));
    assert_string_equal(value(c, NULL, "SELECT state FROM mt.job WHERE last_error = 'no luck'"),
                        "dead");
    exec_ok(c, "UPDATE mt.job SET lease_until = now() - interval '1 second' WHERE leased_by = 'w2' "
               "AND state = 'running'"); /* w2 crashed */
    mti_result *again = take(c, "10", "w3");
    assert_int_equal(mti_result_rows(again), 1);
    assert_string_equal(mti_result_get(again, 0, 2).p, "2");
    exec_ok(c,
            "UPDATE mt.job SET lease_until = now() - interval '1 second' WHERE leased_by = 'w3'");
    assert_int_equal(mti_result_rows(take(c, "10", "w1")), 0);
    assert_string_equal(
        value(c, NULL, "SELECT jobs FROM mt.job_stats('embed') WHERE state = 'dead'"), "2");
    assert_string_equal(value(c, NULL, "-- slow\nSELECT sum(jobs) FROM mt.job_stats('embed')"),
                        "4");
    assert_ok(run(c, NULL, query("prune :one write", "SELECT mt.job_prune(0)"), &r));
    assert_string_equal(mti_result_get(r, 0, 0).p, "1");
}

static void
with_row(mt_call *c) /* a job is put in the transaction of the row it is about, or not at all */
{
    assert_ok(mti_db_begin(c, &(mti_db_role){P}));
    put(c, "rolled-back");
    mti_db_rollback(c);
    assert_string_equal(
        value(c, NULL, "SELECT count(*) FROM mt.job WHERE unique_key = 'rolled-back'"), "0");
}

static int taken;

static void take_all(mt_call *c)
{
    char worker[24];
    snprintf(worker, sizeof worker, "many-%p", (void *)c);
    for (unsigned n; (n = mti_result_rows(take(c, "3", worker)));)
        taken += (int)n;
}

static void put_many(mt_call *c)
{
    for (int i = 0; i < 100; i++)
        put(c, NULL);
}

static void test_queue(void **state)
{
    in_fiber(org_a, put_three);
    in_fiber(org_b, put_one);
    in_fiber(nobody, put_none);
    in_fiber(org_a, take_fairly);
    in_fiber(org_a, with_row);
}

static void test_each_job_is_taken_once(void **state)
{
    bool done[5];
    in_fiber(org_a, put_many);
    for (int i = 0; i < 5; i++)
        start_fiber(nobody, take_all, &done[i]);
    for (int i = 0; i < 5; i++)
        turn_until(&done[i], 10000);
    assert_int_equal(taken, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_queue),
                                       cmocka_unit_test(test_each_job_is_taken_once)};
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
