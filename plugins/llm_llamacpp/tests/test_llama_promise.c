/* The promise, decode by decode: the engine without its thread, whose work the test does step by step. */
#include "support.h"
#include "../engine.c"

static void raise_signal(uint64_t signal)
{
}

static void no_log(mt_slice line)
{
}

static engine *by_hand(unsigned sequences)
{
    engine *e = calloc(1, sizeof *e);
    e->o = (engine_options){.context = 512, .sequences = sequences, .threads = 1, .log = no_log, .raise = raise_signal};
    snprintf(e->library, sizeof e->library, "%s", LLAMACPP_LIBRARY);
    snprintf(e->path, sizeof e->path, "%s", tiny_path);
    e->queue = (fair_queue){.max = 64, .max_owner = 64};
    pthread_mutex_init(&e->lock, NULL);
    pthread_rwlock_init(&e->loaded, NULL);
    pthread_cond_init(&e->wake, NULL);
    load(e);
    assert_int_equal(e->state, ENGINE_READY);
    return e;
}

static void dispose(engine *e)
{
    end_all(e, MT_UNAVAILABLE);
    assert_int_equal(e->running, 0);
    assert_int_equal(e->queue.n, 0);
    unload(e);
    free(e);
}

static job *submit(engine *e, size_t letters, int64_t due_us)
{
    char text[600] = "";
    memset(text, 'x', letters);
    engine_message m = {MT_SLICE("user"), mt_str(text)};
    job_request r = {.owner = 1, .due_us = due_us, .max_tokens = 100, .top_p = 1};
    job *j;
    assert_int_equal(engine_tokenize(e, &m, 1, &r.tokens, &r.n_tokens), MT_OK);
    assert_int_equal(engine_submit(e, &r, &j), MT_OK);
    return j;
}

static mt_status take(job *j)
{
    mt_slice text;
    mt_status s;
    while ((s = job_take(j, &text)) == MT_OK)
        ;
    return s;
}

static void test_who_waits_is_told(void **state)
{
    engine *e = by_hand(1);
    job *first = submit(e, 10, INT64_MAX), *late = submit(e, 10, INT64_MAX), *last = submit(e, 10, INT64_MAX);
    assert_true(work(e));
    assert_int_equal(take(late), MT_TIMEOUT);
    late->item.due_us = engine_now_us();
    assert_true(work(e));
    assert_int_equal(take(late), MT_LIMITED);
    assert_int_equal(take(first), MT_TIMEOUT);
    assert_int_equal(take(last), MT_TIMEOUT);
    job_release(first);
    job_release(late);
    assert_true(work(e));
    assert_ptr_equal(e->places[0].j, last);
    job_release(last);
    dispose(e);
}

/* A place does not save it while its prompt is half read; its sequence is free again. */
static void test_who_reads_is_told(void **state)
{
    engine *e = by_hand(1);
    job *j = submit(e, 400, INT64_MAX);
    assert_true(work(e));
    assert_int_equal(j->at, BATCH);
    assert_false(j->writing);
    j->item.due_us = engine_now_us();
    assert_false(work(e));
    assert_int_equal(take(j), MT_LIMITED);
    job_release(j);
    assert_null(e->places[0].j);
    j = submit(e, 400, INT64_MAX);
    assert_true(work(e) && work(e));
    assert_int_equal(j->counts.output, 1);
    job_release(j);
    dispose(e);
}

static void test_who_writes_goes_on(void **state)
{
    engine *e = by_hand(1);
    job *j = submit(e, 10, INT64_MAX);
    assert_true(work(e));
    assert_int_equal(j->counts.output, 1);
    j->item.due_us = 0;
    for (uint32_t i = 2; i < 5 && !j->done; i++) {
        assert_true(work(e));
        assert_int_equal(j->counts.output, i);
    }
    assert_int_not_equal(take(j), MT_LIMITED);
    job_release(j);
    dispose(e);
}

/* No place for what cannot be read in time beside the others; who is alone is tried, and what it took is believed from then on. */
static void test_no_place_without_hope(void **state)
{
    const int64_t minute = 60000000;
    engine *e = by_hand(2);
    job *first = submit(e, 10, INT64_MAX);
    assert_true(work(e));
    assert_false(first->done);
    e->token_us = 1e6;
    assert_int_equal(engine_wait_ms(e, 1), 0);      /* there is a place: it is the engine that says no */
    job *hopeless = submit(e, 400, engine_now_us() + minute), *shorter = submit(e, 4, engine_now_us() + 2 * minute);
    assert_true(work(e));
    assert_int_equal(take(hopeless), MT_LIMITED);
    assert_null(hopeless->sampler);
    assert_ptr_equal(e->places[1].j, shorter);
    job_release(first);
    job_release(hopeless);
    job_release(shorter);
    assert_false(work(e));
    job *alone = submit(e, 400, engine_now_us() + minute);
    assert_true(work(e));
    assert_ptr_equal(e->places[0].j ? e->places[0].j : e->places[1].j, alone);
    assert_true(e->token_us < 1e6);
    job_release(alone);
    dispose(e);
}

/* Who reads beside others gets a share of the batch: theirs count as far as they are read meanwhile. */
static void test_what_reading_takes(void **state)
{
    engine *e = by_hand(3);
    job *long_one = submit(e, 450, INT64_MAX);
    assert_true(work(e));
    e->token_us = 1;
    size_t left = long_one->r.n_tokens - long_one->at;
    job *j = submit(e, 400, INT64_MAX), *small = submit(e, 1, INT64_MAX);
    assert_int_equal(batch_reading_us(e, j), (int64_t)(j->r.n_tokens + left));
    assert_int_equal(batch_reading_us(e, small), (int64_t)(2 * small->r.n_tokens));
    long_one->writing = true;
    assert_int_equal(batch_reading_us(e, small), (int64_t)(small->r.n_tokens + 1));
    long_one->writing = false;
    job_release(long_one);
    job_release(j);
    job_release(small);
    assert_false(work(e));
    dispose(e);
}

int main(void)
{
    const char *checker = getenv("MORTISE_TEST_SMALL");
    if (checker && strcmp(checker, "valgrind") == 0) {
        puts("SKIP: the library's own arithmetic takes minutes under valgrind");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_waits_is_told), cmocka_unit_test(test_who_reads_is_told), cmocka_unit_test(test_who_writes_goes_on),
                                       cmocka_unit_test(test_no_place_without_hope), cmocka_unit_test(test_what_reading_takes)};
    return cmocka_run_group_tests(tests, make_tiny, remove_tiny);
}
