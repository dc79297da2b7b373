/* Goes wrong in every place where a plugin's code runs: POST /v1/faulty/HOW says where. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile int *volatile nowhere;
static const mt_host *the_host;

static mt_status fault(mt_call *c)
{
    return *nowhere ? MT_OK : MT_INTERNAL;
}

static void read_nowhere(void *arg)
{
    *(int *)arg = *nowhere;
}

static mt_status in_pool(mt_call *c)
{
    int value = 0;
    return mt_offload_run(c, read_nowhere, &value);
}

static mt_status after_suspension(mt_call *c)
{
    MT_TRY(mt_sleep(c, 5));
    return fault(c);
}

static mt_status after_pool(mt_call *c)
{
    int seven = 7, value = 0;
    nowhere = &seven;
    mt_status s = mt_offload_run(c, read_nowhere, &value);
    nowhere = NULL;
    return s == MT_OK ? fault(c) : s;
}

static mt_status in_arithmetic(mt_call *c)
{
    volatile int zero = 0;
    return 7 / zero ? MT_OK : MT_INTERNAL;
}

static mt_status to_nowhere(mt_call *c)
{
    mt_status (*volatile f)(mt_call *) = NULL;
    return f(c);
}

static mt_status in_a_trap(mt_call *c)
{
    __builtin_trap();
}

static mt_status by_abort(mt_call *c)
{
    abort();
}

static mt_status by_exit(mt_call *c)
{
    exit(3);
}

static mt_status by_leaving(mt_call *c)
{
    _exit(3);
}

static __attribute__((noinline)) int deeper(volatile char *above, int depth)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return depth < 0 ? 0 : deeper(frame, depth + 1) + frame[0];
}

static mt_status by_recursion(mt_call *c)
{
    volatile char first[16] = "x";
    return deeper(first, 0) ? MT_OK : MT_INTERNAL;
}

/* Writes over what the allocator keeps beside the block. */
static mt_status in_its_heap(mt_call *c)
{
    char *volatile block = malloc(2000);
    ((volatile size_t *)block)[-1] = 1;
    free(block);
    return MT_OK;
}

static mt_status by_sleeping(mt_call *c)
{
    sleep(60);
    return MT_OK;
}

static mt_status by_turning(mt_call *c)
{
    for (volatile unsigned n = 1;; n++)
        ;
    return MT_OK;
}

static mt_status by_leaking(mt_call *c)
{
    char *volatile p = malloc(1 << 20);
    memset(p, 1, 1 << 20);
    return MT_OK;
}

/* The child lies about for longer than its host lives. */
static mt_status by_forking(mt_call *c)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid > 0 ? MT_OK : MT_INTERNAL;
}

/* A child's crash is not the host's. */
static mt_status in_a_child(mt_call *c)
{
    pid_t pid = fork();
    if (pid == 0)
        fault(c);
    return pid > 0 ? MT_OK : MT_INTERNAL;
}

static mt_status with_a_socket(mt_call *c)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1) == 0 ? MT_OK : MT_INTERNAL;
}

static mt_status in_a_job(mt_call *c)
{
    char now[32];
    snprintf(now, sizeof now, "%lld", (long long)the_host->clock_us());
    return mt_queue_put(c, MT_SLICE("faulty.work"), mt_str(now), (mt_slice){0}, 0);
}

static mt_status calm(mt_call *c)
{
    return MT_OK;
}

static const struct {
    const char *how;
    mt_status (*run)(mt_call *c);
} ways[] = {{"handler", fault},      {"suspend", after_suspension}, {"pool", in_pool},       {"afterpool", after_pool}, {"arithmetic", in_arithmetic}, {"jump", to_nowhere},
            {"trap", in_a_trap},     {"abort", by_abort},           {"exit", by_exit},       {"leave", by_leaving},     {"recursion", by_recursion},   {"heap", in_its_heap},
            {"block", by_sleeping},  {"turn", by_turning},          {"leak", by_leaking},    {"fork", by_forking},      {"child", in_a_child},         {"socket", with_a_socket},
            {"job", in_a_job},       {"calm", calm}};

static mt_status answer(mt_call *c, mt_status s)
{
    return s == MT_OK ? mt_respond(c, 200, MT_SLICE("{\"calm\":true}")) : s;
}

static mt_status on_fault(void *self, mt_call *c)
{
    mt_slice how = mt_param(c, MT_SLICE("how"));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (mt_slice_eq(how, mt_str(ways[i].how)))
            return answer(c, ways[i].run(c));
    return mt_problem(c, 404, MT_SLICE("unknown_fault"), MT_SLICE("There is no such fault."), MT_SLICE(""));
}

static mt_status on_calm(void *self, mt_call *c)
{
    return answer(c, MT_OK);
}

/* Once: a job that is taken again by the next host is an old one. */
static mt_status on_job(void *self, mt_call *c)
{
    char text[32];
    mt_slice payload = mt_body(c);
    snprintf(text, sizeof text, "%.*s", (int)(payload.len < 31 ? payload.len : 31), payload.p);
    return the_host->clock_us() - atoll(text) < 5000000 ? fault(c) : MT_OK;
}

static mt_outcome on_response(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_http_response *r = in;
    if (mt_slice_eq(r->operation, MT_SLICE("faulty.hook")))
        fault(c);
    return MT_CONTINUE;
}

static mt_outcome on_done(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_http_done *d = in;
    if (mt_slice_eq(d->operation, MT_SLICE("faulty.done")))
        fault(c);
    return MT_CONTINUE;
}

static mt_outcome on_slow(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_http_response *r = in;
    struct timespec from, now;
    if (!mt_slice_eq(r->operation, MT_SLICE("faulty.slow")))
        return MT_CONTINUE;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < 30);
    return MT_CONTINUE;
}

static mt_outcome on_patch(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_http_response *r = in;
    if (!mt_slice_eq(r->operation, MT_SLICE("faulty.patch")))
        return MT_CONTINUE;
    return mt_hook_set(c, out, MT_SLICE("/body/calm"), MT_SLICE("\"not a boolean\"")) == MT_OK ? MT_CONTINUE : MT_ERROR;
}

static mt_status load(void *self, const mt_host *host)
{
    the_host = host;
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_fault", on_fault}, {"on_calm", on_calm}, {"on_job", on_job}};
static const mt_hook_entry hooks[] = {{"on_response", on_response}, {"on_done", on_done}, {"on_slow", on_slow}, {"on_patch", on_patch}};

MT_EXPORT const mt_plugin faulty_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "faulty", .version = "0.1.0", .load = load, .handlers = handlers, .n_handlers = 3, .hooks = hooks, .n_hooks = 4};
