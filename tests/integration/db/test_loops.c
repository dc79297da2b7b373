/* Two loops on two threads share one database handle: reads, writes and notifications on both
 * (meant for TSan too). */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

static mti_loop *other;
static atomic_int running, heard, finished;
static atomic_bool attached;

static void on_heard(void *arg, const char *payload)
{
    atomic_fetch_add(&heard, payload != NULL);
}

static void *other_thread(void *arg)
{
    mti_loop_run(other);
    return NULL;
}

static void attach(void *arg)
{
    mti_db_attach(w.db, other);
    mti_db_listen(w.db, other, "mt_cache", on_heard, NULL);
    atomic_store(&attached, true);
}

static void detach(void *arg)
{
    mti_db_detach(w.db, other);
    mti_loop_stop(other);
}

static void work(void *arg)
{
    mt_call call, *c = &call;
    mti_call_init(c, mti_loop_current());
    mti_uuid_parse(mt_str(org_a), &c->who.org_id);
    for (int i = 0; i < 30; i++) {
        mti_result *r;
        mti_query get = {
            .name = "get", .sql = "SELECT mt.org_id()", .file = "", .statement = "qget"};
        mti_query put = {.name = "put", .file = "", .statement = "qput", .lane = MTI_LANE_WRITE};
        put.sql = "SELECT mt.quota_set(mt.org_id(), 'loops', 1)";
        assert_ok(mti_db_run(c, NULL, &get, NULL, &r));
        assert_string_equal(mti_result_get(r, 0, 0).p, org_a);
        assert_ok(mti_db_run(c, NULL, &put, NULL, &r));
    }
    mti_call_dispose(c);
    atomic_fetch_sub(&running, 1);
    atomic_fetch_add(&finished, 1);
}

static void spawn(void *arg)
{
    assert_int_equal(mti_fiber_spawn(arg, work, NULL), MT_OK);
}

static void notify(mt_call *c)
{
    exec_ok(c, "INSERT INTO mt.plugin (slug) VALUES ('loops')");
}

static void test_two_loops(void **state)
{
    pthread_t thread;
    other = mti_loop_create(1);
    mti_db_listen(w.db, w.loop, "mt_cache", on_heard, NULL);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    mti_loop_post(other, attach, NULL);
    while (!atomic_load(&attached))
        turn_for(5);
    atomic_store(&running, 40);
    for (int i = 0; i < 20; i++) {
        mti_loop_post(other, spawn, other);
        mti_loop_post(w.loop, spawn, w.loop);
    }
    for (int i = 0; i < 4000 && atomic_load(&running); i++)
        turn_for(5);
    assert_int_equal(atomic_load(&finished), 40);
    turn_for(100);
    in_fiber(nobody, notify);
    for (int i = 0; i < 400 && atomic_load(&heard) < 2; i++)
        turn_for(5);
    assert_int_equal(atomic_load(&heard), 2);
    mti_loop_post(other, detach, NULL);
    pthread_join(thread, NULL);
    mti_loop_destroy(other);
    assert_true(mti_db_up(w.db));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_loops)};
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
