/* No script goes more than a tenth over a limit: instructions by count, memory by the bytes that malloc gave, CPU time by the
 * thread's own clock. Each limit is tried with the others wide open, on every script of malicious/. */
#include "support.h"

#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>

#include "policy/policy_impl.h"

#define FOLDER "tests/unit/policy/malicious"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static size_t in_use, peak;      /* the sanitizer has the allocator */
#else
/* --- every byte that is allocated, whoever asks --- */

static size_t in_use, peak;

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static void *count(void *p)
{
    in_use += p ? malloc_usable_size(p) : 0;
    peak = in_use > peak ? in_use : peak;
    return p;
}

void *malloc(size_t n)
{
    return count(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return count(__libc_calloc(n, size));
}

void free(void *p)
{
    in_use -= p ? malloc_usable_size(p) : 0;
    __libc_free(p);
}

void *realloc(void *p, size_t n)
{
    size_t old = p ? malloc_usable_size(p) : 0;
    void *q = __libc_realloc(p, n);
    if (q || n == 0)
        in_use -= old;
    return count(q);
}
#endif

typedef struct measured {
    mti_policy_verdict verdict;
    int64_t cpu_ns;
    size_t bytes;
} measured;

typedef struct job {
    mti_policy *policy;
    mt_call call;
    mt_chat_prepare chat;
    measured m;
} job;

static void in_fiber(void *arg)
{
    job *j = arg;
    mt_patch patch;
    mti_patch_init(&patch, &j->call, &mti_hook_catalogue[j->policy->hook]);
    size_t before = peak = in_use;
    int64_t from = mti_thread_cpu_ns();
    mti_policy_try(j->policy, MTI_POLICY_LIVE, &j->call, &j->chat, &patch, &j->m.verdict);
    j->m.cpu_ns = mti_thread_cpu_ns() - from;
    j->m.bytes = peak - before;
}

static measured run_one(mti_policies *engine, mti_loop *loop, mti_policy *policy)
{
    job j = {.policy = policy, .chat = {.size = sizeof j.chat, .query = MT_SLICE("why")}};
    mti_call_init(&j.call, loop);
    assert_int_equal(mti_fiber_spawn(loop, in_fiber, &j), MT_OK);
    mti_call_dispose(&j.call);
    return j.m;
}

typedef bool (*within_fn)(const measured *m, const mti_policy_limits *l);

/* What the machine does beside only adds to a measurement: a script that overruns does so every time. */
static measured run_best(mti_policies *engine, mti_loop *loop, mti_policy *idle, mti_policy *policy, within_fn within)
{
    measured m;
    for (int i = 0; i < 5; i++) {
        run_one(engine, loop, idle);
        m = run_one(engine, loop, policy);
        if (within(&m, &engine->limits))
            break;
    }
    return m;
}

/* Runs every script under the limits, in a state that is there already; answers how many met one. */
static unsigned run_all(const mti_policy_limits *limits, within_fn within)
{
    mti_loop *loop = mti_loop_create(0);
    mti_policies *engine = mti_policies_create(limits, &loop, 1);
    unsigned limited = 0;
    DIR *d = opendir(FOLDER);
    assert_non_null(d);
    mti_policy *idle;
    assert_int_equal(mti_policy_compile(engine, "idle", MT_SLICE(CHAT), &idle, NULL), MT_OK);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        mti_buf text;
        mti_policy *policy;
        size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 4, ".lua") != 0)
            continue;
        snprintf(path, sizeof path, FOLDER "/%s", e->d_name);
        assert_int_equal(mti_buf_read_file(&text, path, 1 << 20), MT_OK);
        if (mti_policy_compile(engine, e->d_name, mti_buf_slice(&text), &policy, NULL) == MT_OK) {
            measured m = run_best(engine, loop, idle, policy, within);
            limited += strcmp(m.verdict.error.code, "policy_limit") == 0;
            if (getenv("MORTISE_TEST_VERBOSE"))
                printf("%-36s steps %9lld  bytes %9zu  cpu %7lld us %s\n", e->d_name, (long long)m.verdict.steps, m.bytes,
                       (long long)m.cpu_ns / 1000, m.verdict.error.code);
            if (!within(&m, limits))
                fail_msg("%s took %lld steps, %zu bytes, %lld us", e->d_name, (long long)m.verdict.steps, m.bytes, (long long)m.cpu_ns / 1000);
        }
        mti_policy_release(policy);
        mti_buf_dispose(&text);
    }
    closedir(d);
    mti_policy_release(idle);
    mti_policies_destroy(engine);
    mti_loop_destroy(loop);
    return limited;
}

static bool within_steps(const measured *m, const mti_policy_limits *l)
{
    return m->verdict.steps <= l->instructions + l->instructions / 10;
}

static void instructions(void **state)
{
    assert_true(run_all(&(mti_policy_limits){.instructions = 100000, .memory = 64 << 20, .cpu_us = 100000}, within_steps) > 20);
}

static bool within_bytes(const measured *m, const mti_policy_limits *l)
{
    return m->bytes <= l->memory + l->memory / 10;
}

static void memory(void **state)
{
    assert_true(run_all(&(mti_policy_limits){.instructions = 3000000, .memory = 1 << 20, .cpu_us = 100000}, within_bytes) > 20);
}

static bool within_cpu(const measured *m, const mti_policy_limits *l)
{
    return m->cpu_ns / 1000 <= l->cpu_us + l->cpu_us / 10;
}

static void cpu_time(void **state)
{
    assert_true(run_all(&(mti_policy_limits){.instructions = INT64_MAX, .memory = 1 << 20, .cpu_us = 5000 * slower()}, within_cpu) > 20);
}

int main(void)
{
    const char *checker = getenv("MORTISE_TEST_SMALL");
    if (checker && strcmp(checker, "valgrind") == 0) {
        puts("SKIP: nothing is as long, nor allocated, as it is without valgrind");
        return 77;
    }
    mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instructions),
        cmocka_unit_test(memory),
        cmocka_unit_test(cpu_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
