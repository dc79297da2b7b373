/* What a debug host catches: wrong thread, a call that is not the fiber's, use after deactivate, handles that are stale or foreign; each told with the
 * plugin's and the function's names, and never let through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <mortise/interfaces.h>
#include <pthread.h>
#include <unistd.h>

#include "base/log.h"
#include "plugin/checks.h"
#include "plugin/manager.h"
#include "plugin/record.h"

/* --- the host's side, which counts what comes through --- */

static int queried, read_, freed;
static mt_handle seen;

static mt_status query(mt_call *c, mt_slice name, const mt_field *args, size_t n, mt_handle *out)
{
    queried++;
    *out = 4096;             /* the same place each time, as an allocator would give */
    return MT_OK;
}

static uint32_t rows(mt_call *c, mt_handle h)
{
    read_++;
    seen = h;
    return 7;
}

static mt_status free_(mt_call *c, mt_handle h)
{
    freed++;
    seen = h;
    return MT_OK;
}

static mt_status parse(mt_call *c, mt_slice text, mt_handle *out)
{
    *out = 4096;
    return MT_OK;
}

static bool cancelled(mt_call *c)
{
    return true;
}

static mt_status raise_(mt_handle signal)
{
    seen = signal;
    return MT_OK;
}

static const mt_db_1 real_db = {.size = sizeof real_db, .version = 1, .query = query, .rows = rows, .free = free_};
static const mt_json_1 real_json = {.size = sizeof real_json, .version = 1, .parse = parse};
static const mt_request_1 real_request = {.size = sizeof real_request, .version = 1, .cancelled = cancelled};
static const mt_thread_1 real_thread = {.size = sizeof real_thread, .version = 1, .raise = raise_};

static const void *table(const char *id, const void *real)
{
    for (unsigned i = 0; i < mti_interface_count; i++)
        if (!strcmp(mti_interface_catalogue[i].id, id))
            return mti_checks_table(i, real);
    fail_msg("no interface %s", id);
    return NULL;
}

static const mt_db_1 *db;
static const mt_json_1 *json;
static const mt_request_1 *request;
static const mt_thread_1 *thread;

/* --- a host with one plugin, and its log --- */

static struct mti_plugins plugins;
static mti_plugin_record record = {.slug = "clumsy", .slot = 1};
static mti_loop *loop, *other;
static int lines[2];

static const char *told(void)
{
    static char text[4096];
    ssize_t n = read(lines[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    return text;
}

#define assert_told(function, what)                                                                \
    do {                                                                                           \
        const char *line = told();                                                                 \
        assert_non_null(strstr(line, "plugin.misuse plugin=clumsy function=" function " "));       \
        assert_non_null(strstr(line, what));                                                       \
    } while (0)

static int setup(void **state)
{
    assert_int_equal(pipe2(lines, 0x800 /* O_NONBLOCK */), 0);
    mti_log_setup(lines[1], MTI_LOG_INFO, MTI_LOG_LOGFMT);
    plugins = (struct mti_plugins){.n = 2};
    plugins.records[1] = &record;
    atomic_store(&record.ended_us, 0);
    mti_checks_begin(&plugins);
    db = table("db/1", &real_db);
    json = table("json/1", &real_json);
    request = table("request/1", &real_request);
    thread = table("thread/1", &real_thread);
    loop = mti_loop_create(0);
    other = mti_loop_create(1);
    queried = read_ = freed = 0;
    seen = 0;
    return 0;
}

static int teardown(void **state)
{
    mti_loop_destroy(loop);
    mti_loop_destroy(other);
    mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    close(lines[0]);
    close(lines[1]);
    return 0;
}

static void begin(mt_call *c, mti_loop *l)
{
    mti_call_init(c, l);
    c->plugin = record.slot;
    mti_fiber_set_tag(record.slot);
}

/* The body of a test as the plugin's code in a fiber of its loop. */
static void in_fiber(void (*body)(void *))
{
    assert_int_equal(mti_fiber_spawn(loop, body, NULL), MT_OK);
}

static mt_handle make(mt_call *c)
{
    mt_handle h = 0;
    assert_int_equal(db->query(c, MT_SLICE("q"), NULL, 0, &h), MT_OK);
    return h;
}

/* --- what is right goes through --- */

static void right(void *arg)
{
    mt_call c, inner;
    begin(&c, loop);
    mt_handle first = make(&c), second = make(&c), doc = 0;
    assert_true(first != second && first != 4096);
    assert_int_equal(db->rows(&c, first), 7);
    assert_int_equal(seen, 4096);
    assert_int_equal(db->rows(&c, 0), 7);
    assert_int_equal(seen, 0);
    assert_int_equal(db->free(&c, first), MT_OK);
    assert_int_equal(seen, 4096);
    assert_int_equal(db->rows(&c, second), 7);
    for (int i = 0; i < 100; i++)
        assert_int_equal(db->rows(&c, make(&c)), 7);
    assert_int_equal(json->parse(&c, MT_SLICE("{}"), &doc), MT_OK);
    begin(&inner, loop);
    assert_int_equal(db->rows(&c, second), 7);
    mti_call_dispose(&inner);
    assert_int_equal(db->rows(&c, second), 7);
    mti_call_dispose(&c);
    assert_string_equal(told(), "");
}

static void what_is_right_goes_through(void **state)
{
    in_fiber(right);
    assert_int_equal(read_, 105);
}

/* --- threads --- */

static void *on_a_thread(void *call)
{
    mt_handle h;
    assert_true(request->cancelled(call));       /* pool threads may ask this, and any thread may raise */
    assert_int_equal(thread->raise(99), MT_OK);
    assert_int_equal(seen, 99);
    assert_string_equal(told(), "");
    mti_fiber_set_tag(1);
    assert_int_equal(db->query(call, MT_SLICE("q"), NULL, 0, &h), MT_INTERNAL);
    assert_told("mt_db_query", "on a thread that is no loop's");
    mti_fiber_set_tag(0);
    assert_int_equal(db->rows(call, 1), 0);      /* named by the object that its code is in */
    assert_non_null(strstr(told(), "plugin_test_checks function=mt_db_rows"));
    return NULL;
}

static void wrong_thread(void *arg)
{
    mt_call c;
    pthread_t t;
    begin(&c, loop);
    assert_int_equal(pthread_create(&t, NULL, on_a_thread, &c), 0);
    pthread_join(t, NULL);
    mti_call_dispose(&c);
}

static void a_wrong_thread_is_caught(void **state)
{
    in_fiber(wrong_thread);
    assert_int_equal(queried + read_, 0);
}

/* --- calls --- */

static mt_call *another;
static mt_handle others;

static void hold_one(void *arg)
{
    static mt_call c;
    begin(&c, other);
    another = &c;
    others = make(&c);
    mti_fiber_suspend();
    mti_call_dispose(&c);
}

static void ended_call(void *arg)
{
    mt_call *c = test_malloc(sizeof *c), mine;
    mt_handle h;
    begin(c, loop);
    mti_call_dispose(c);
    test_free(c);
    begin(&mine, loop);
    assert_int_equal(db->query(c, MT_SLICE("q"), NULL, 0, &h), MT_INTERNAL);
    assert_told("mt_db_query", "has ended or is another fiber's");
    mti_call_dispose(&mine);
}

static void a_call_that_ended_is_caught(void **state)
{
    in_fiber(ended_call);
    assert_int_equal(queried, 0);
}

static void anothers(void *arg)
{
    mt_call c;
    begin(&c, loop);
    assert_int_equal(db->rows(another, others), 0);
    assert_told("mt_db_rows", "has ended or is another fiber's");
    assert_int_equal(db->rows(&c, others), 0);
    assert_told("mt_db_rows", "none of this call's");
    assert_string_equal(c.error.code, "plugin_misuse");
    assert_int_equal(mti_error_http(&c.error), 500);
    mti_call_dispose(&c);
}

static void another_loops_call_and_handle_are_caught(void **state)
{
    assert_int_equal(mti_fiber_spawn(other, hold_one, NULL), MT_OK);
    in_fiber(anothers);
    assert_int_equal(read_, 0);
    mti_fiber_resume(another->fiber, MT_OK);
    mti_loop_step(other, 0);
}

static void after_deactivate(void *arg)
{
    mt_call before, after;
    mt_handle h;
    begin(&before, loop);
    before.started_us -= 1000;
    atomic_store(&record.ended_us, before.started_us + 500);
    make(&before);               /* who was inside then may end what he does */
    begin(&after, loop);
    assert_int_equal(db->query(&after, MT_SLICE("q"), NULL, 0, &h), MT_INTERNAL);
    assert_told("mt_db_query", "after deactivate");
    atomic_store(&record.ended_us, 0);
    make(&after);
    mti_call_dispose(&after);
    mti_call_dispose(&before);
}

static void use_after_deactivate_is_caught(void **state)
{
    in_fiber(after_deactivate);
    assert_int_equal(queried, 2);
}

/* --- handles --- */

static void stale(void *arg)
{
    mt_call c;
    mt_handle doc = 0;
    begin(&c, loop);
    mt_handle h = make(&c);
    assert_int_equal(db->free(&c, h), MT_OK);
    make(&c);                    /* has the place of the one that is gone */
    assert_int_equal(db->rows(&c, h), 0);
    assert_told("mt_db_rows", "a handle that is gone");
    assert_int_equal(db->free(&c, h), MT_INTERNAL);
    assert_told("mt_db_free", "a handle that is gone");
    assert_int_equal(json->parse(&c, MT_SLICE("{}"), &doc), MT_OK);
    assert_int_equal(db->rows(&c, doc), 0);
    assert_told("mt_db_rows", "of another interface");
    assert_int_equal(db->rows(&c, 4096), 0);
    assert_told("mt_db_rows", "none of this call's");
    mti_call_dispose(&c);
}

static void stale_handles_are_caught(void **state)
{
    in_fiber(stale);
    assert_int_equal(freed, 1);
    assert_int_equal(read_, 0);
}

static void off_unless_wanted(void **state)
{
    assert_true(mti_checks_wanted("on"));
    assert_false(mti_checks_wanted("off"));
    assert_null(mti_checks_table(0, NULL));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_right_goes_through),     T(a_wrong_thread_is_caught), T(a_call_that_ended_is_caught), T(another_loops_call_and_handle_are_caught),
        T(use_after_deactivate_is_caught), T(stale_handles_are_caught), T(off_unless_wanted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
