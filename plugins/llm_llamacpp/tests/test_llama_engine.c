/* The engine on a tiny model of random weights: what is proved is the machinery, not the text. And one question to the real model. */
#include "support.h"
#include "engine.h"

#include <pthread.h>
#include <unistd.h>

/* Raised signals, by number: the tests' side of thread/1. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t raises;

static void raise_signal(uint64_t signal)
{
    pthread_mutex_lock(&lock);
    raises++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void no_log(mt_slice line)
{
}

static int64_t idle_ms;

static engine *open_engine(const char *path, unsigned sequences, bool reuse, unsigned queue)
{
    engine_options o = {.library = LLAMACPP_LIBRARY, .path = path, .context = 512, .sequences = sequences, .threads = 1, .queue = queue,
                        .queue_owner = queue, .idle_ms = idle_ms, .reuse_prefix = reuse, .log = no_log, .raise = raise_signal};
    char reason[LLAMA_REASON];
    engine *e = engine_create(&o);
    engine_state s = engine_want(e, reason);
    while (s == ENGINE_UNLOADED || s == ENGINE_LOADING) {
        usleep(1000);
        s = engine_want(e, reason);
    }
    if (s != ENGINE_READY)
        fail_msg("%s", reason);
    return e;
}

static job_request request(engine *e, const char *text, uint64_t owner, uint32_t max_tokens)
{
    engine_message m = {MT_SLICE("user"), mt_str(text)};
    job_request r = {.owner = owner, .due_us = INT64_MAX, .max_tokens = max_tokens, .top_p = 1};
    assert_int_equal(engine_tokenize(e, &m, 1, &r.tokens, &r.n_tokens), MT_OK);
    return r;
}

static job *submit(engine *e, const char *text, uint64_t owner, uint32_t max_tokens)
{
    job_request r = request(e, text, owner, max_tokens);
    job *j;
    assert_int_equal(engine_submit(e, &r, &j), MT_OK);
    return j;
}

/* How the job ends, and what it wrote until then. */
static mt_status until_end(job *j, char **text, job_counts *counts)
{
    char *out = calloc(1, 1);
    size_t len = 0;
    mt_status s;
    for (;;) {
        mt_slice piece;
        pthread_mutex_lock(&lock);
        uint64_t seen = raises;
        pthread_mutex_unlock(&lock);
        s = job_take(j, &piece);
        if (s == MT_OK) {
            out = realloc(out, len + piece.len + 1);
            memcpy(out + len, piece.p, piece.len);
            out[len += piece.len] = 0;
            continue;
        }
        if (s != MT_TIMEOUT)
            break;
        pthread_mutex_lock(&lock);
        while (raises == seen)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
    }
    if (counts)
        job_count(j, counts);
    job_release(j);
    *text = out;
    return s;
}

static char *whole(job *j, job_counts *counts)
{
    char *text;
    assert_int_equal(until_end(j, &text, counts), MT_DONE);
    return text;
}

static const char *const texts[] = {"first question", "a second, longer question about nothing at all", "third", "and the fourth one", "five", "six of them", "7", "the eighth"};

/* Eight that share every decode write what each writes alone. */
static void test_together_as_alone(void **state)
{
    engine *e = open_engine(tiny_path, 8, false, 64);
    char *alone[8];
    job *jobs[8];
    for (int i = 0; i < 8; i++)
        alone[i] = whole(submit(e, texts[i], 1, 24), NULL);
    for (int i = 0; i < 8; i++)
        jobs[i] = submit(e, texts[i], (uint64_t)i, 24);
    for (int i = 0; i < 8; i++) {
        char *text = whole(jobs[i], NULL);
        assert_true(strlen(alone[i]) > 0);
        assert_string_equal(text, alone[i]);
        free(text);
        free(alone[i]);
    }
    engine_destroy(e);
}

/* The same owner's prefix is used again, in its sequence or copied out of a busy one, and the text is the same; another's never is. */
static void test_prefix_reuse(void **state)
{
    char a[256], b[256];
    memset(a, 'x', 200);
    strcpy(a + 200, "one");
    memset(b, 'x', 200);
    strcpy(b + 200, "two");
    engine *plain = open_engine(tiny_path, 2, false, 64), *e = open_engine(tiny_path, 2, true, 64);
    job_counts n;
    char *want_a = whole(submit(plain, a, 1, 16), NULL), *want_b = whole(submit(plain, b, 1, 16), &n), *got;
    assert_int_equal(n.cached, 0);
    got = whole(submit(e, a, 1, 16), &n);
    assert_int_equal(n.cached, 0);
    assert_string_equal(got, want_a);
    free(got);
    got = whole(submit(e, b, 1, 16), &n);
    assert_in_range(n.cached, 200, n.input - 1);
    assert_string_equal(got, want_b);
    free(got);
    got = whole(submit(e, b, 2, 16), &n);       /* another owner */
    assert_int_equal(n.cached, 0);
    assert_string_equal(got, want_b);
    free(got);
    job *busy = submit(e, a, 1, 200), *second = submit(e, b, 1, 16);
    got = whole(second, &n);
    assert_in_range(n.cached, 200, n.input - 1);
    assert_string_equal(got, want_b);
    free(got);
    free(whole(busy, NULL));
    free(want_a);
    free(want_b);
    engine_destroy(plain);
    engine_destroy(e);
}

/* Who leaves gives the only sequence back at once: the next one's turn comes though the first would have written hundreds of tokens. */
static void test_leaving_frees_the_place(void **state)
{
    engine *e = open_engine(tiny_path, 1, false, 64);
    job *first = submit(e, "long", 1, 400), *waiting = submit(e, "waits and leaves", 1, 400), *last = submit(e, "last", 1, 4);
    job_release(waiting);
    job_release(first);
    job_counts n;
    free(whole(last, &n));
    assert_in_range(n.output, 1, 4);
    engine_destroy(e);
}

static void test_queue_is_bounded(void **state)
{
    engine *e = open_engine(tiny_path, 1, false, 2);
    job *held[16], *j;
    int n = 0, refused = 0;
    for (int i = 0; i < 16; i++) {
        job_request r = request(e, "question", 1, 300);
        if (engine_submit(e, &r, &j) == MT_OK)
            held[n++] = j;
        else
            refused++;
    }
    assert_in_range(n, 2, 15);
    assert_true(refused > 0);
    while (n)
        job_release(held[--n]);
    engine_destroy(e);
}

/* One whose answer is as long as it may be. */
static const char *long_one(engine *e)
{
    for (int i = 0; i < 8; i++) {
        job_counts n;
        free(whole(submit(e, texts[i], 1, 400), &n));
        if (n.output == 400)
            return texts[i];
    }
    fail_msg("every answer is short");
    return NULL;
}

static mt_status submit_due(engine *e, const char *text, uint64_t owner, int64_t ms, job **j)
{
    job_request r = request(e, text, owner, 400);
    r.due_us = engine_now_us() + ms * 1000;
    return engine_submit(e, &r, j);
}

/* Once it is known what an answer costs, who would wait longer than promised is refused though the queue has room; another owner, whose turn
 * comes sooner, is not. */
static void test_the_promise_closes_the_door(void **state)
{
    engine *e = open_engine(tiny_path, 1, false, 64);
    const char *text = long_one(e);
    job *held[9], *j;
    for (int i = 0; i < 9; i++)
        held[i] = submit(e, text, 1, 400);
    int64_t own = engine_wait_ms(e, 1), other = engine_wait_ms(e, 2);
    assert_true(own > 0 && other > 0 && other < own / 2);
    assert_int_equal(submit_due(e, text, 1, 0, &j), MT_LIMITED);
    assert_null(j);
    for (int i = 0; i < 9; i++)
        job_release(held[i]);
    engine_destroy(e);
}

static void test_end_at_the_limit(void **state)
{
    engine *e = open_engine(tiny_path, 1, false, 4);
    job_counts n;
    free(whole(submit(e, "count", 1, 5), &n));
    assert_true(n.by_length ? n.output == 5 : n.output <= 5);
    job *j = submit(e, "to the end of the context", 1, 100000);
    free(whole(j, &n));
    assert_true(n.input + n.output <= 513);
    engine_destroy(e);
}

/* Ending the engine ends what waits and what runs; the jobs are still their holders'. */
static void test_the_engine_ends_first(void **state)
{
    engine *e = open_engine(tiny_path, 1, false, 4);
    job *a = submit(e, "runs", 1, 400), *b = submit(e, "waits", 1, 400);
    job_release(a);
    job_release(b);
    engine_destroy(e);
}

/* Closed, it takes nothing more; what it has is written to the end, and then the model is given back. */
static void test_a_closed_engine_finishes(void **state)
{
    engine *e = open_engine(tiny_path, 1, false, 4);
    char reason[LLAMA_REASON];
    job *a = submit(e, "runs", 1, 40), *b = submit(e, "waits", 1, 40), *j;
    engine_close(e);
    job_request r = request(e, "comes too late", 1, 40);
    assert_int_equal(engine_submit(e, &r, &j), MT_UNAVAILABLE);
    free(whole(a, NULL));
    free(whole(b, NULL));
    while (engine_loaded(e))
        usleep(1000);
    assert_int_equal(engine_want(e, reason), ENGINE_FAILED);
    assert_false(engine_loaded(e));
    engine_destroy(e);
}

static void test_an_idle_model_is_given_back(void **state)
{
    idle_ms = 1;
    engine *e = open_engine(tiny_path, 1, false, 4);
    idle_ms = 0;
    char reason[LLAMA_REASON];
    while (engine_loaded(e))
        usleep(1000);
    assert_int_equal(engine_want(e, reason), ENGINE_UNLOADED);
    engine_destroy(e);
}

static void test_a_broken_file_is_refused(void **state)
{
    char path[] = "/tmp/mortise-broken-XXXXXX", reason[LLAMA_REASON] = "";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "GGUF and nothing more, which is not enough", 40), 40);
    close(fd);
    engine_options o = {.library = LLAMACPP_LIBRARY, .path = path, .context = 64, .sequences = 1, .threads = 1, .queue = 1, .queue_owner = 1, .log = no_log, .raise = raise_signal};
    engine *e = engine_create(&o);
    engine_state s = engine_want(e, reason);
    while (s == ENGINE_UNLOADED || s == ENGINE_LOADING) {
        usleep(1000);
        s = engine_want(e, reason);
    }
    assert_int_equal(s, ENGINE_FAILED);
    assert_non_null(strstr(reason, "not usable"));
    engine_destroy(e);
    unlink(path);
}

static void test_the_real_model_answers(void **state)
{
    if (access(CHAT_MODEL, R_OK))
        skip();
    engine *e = open_engine(CHAT_MODEL, 2, true, 4);
    uint32_t tokens;
    assert_true(engine_count(e, MT_SLICE("The capital of France"), &tokens));
    assert_in_range(tokens, 3, 6);
    char *text = whole(submit(e, "What is the capital of France? Answer in one short sentence.", 1, 40), NULL);
    assert_non_null(strstr(text, "Paris"));
    free(text);
    engine_destroy(e);
}

int main(void)
{
    const char *checker = getenv("MORTISE_TEST_SMALL");
    if (checker && strcmp(checker, "valgrind") == 0) {
        puts("SKIP: the library's own arithmetic takes minutes under valgrind");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together_as_alone), cmocka_unit_test(test_prefix_reuse), cmocka_unit_test(test_leaving_frees_the_place),
        cmocka_unit_test(test_queue_is_bounded), cmocka_unit_test(test_the_promise_closes_the_door),
        cmocka_unit_test(test_a_closed_engine_finishes), cmocka_unit_test(test_an_idle_model_is_given_back),
        cmocka_unit_test(test_end_at_the_limit), cmocka_unit_test(test_the_engine_ends_first),
        cmocka_unit_test(test_a_broken_file_is_refused), cmocka_unit_test(test_the_real_model_answers)};
    return cmocka_run_group_tests(tests, make_tiny, remove_tiny);
}
