/* What a plugin in a worker costs: one JSON line a figure, {name, value, unit}. The floor is a byte to a child and back over a socket pair. */
#include <mortise/hooks.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ident.h"
#include "base/log.h"
#include "bus/bus.h"
#include "worker/worker.h"

enum { TIMES = 20000, WARM_UP = 2000, ASKS = 50 };

static int64_t samples[TIMES];

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *name)
{
    qsort(samples, TIMES, sizeof *samples, compare);
    printf("{\"name\":\"%s\",\"value\":%.1f,\"unit\":\"us\"}\n", name, (double)samples[TIMES / 2]);
    printf("{\"name\":\"%s_p99\",\"value\":%.1f,\"unit\":\"us\"}\n", name, (double)samples[TIMES * 99 / 100]);
}

static void ping(void)
{
    int pair[2];
    char byte = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        while (read(pair[1], &byte, 1) == 1 && write(pair[1], &byte, 1) == 1)
            ;
        _exit(0);
    }
    close(pair[1]);
    for (int i = -WARM_UP; i < TIMES; i++) {
        int64_t from = mti_mono_us();
        if (write(pair[0], &byte, 1) != 1 || read(pair[0], &byte, 1) != 1)
            abort();
        if (i >= 0)
            samples[i] = mti_mono_us() - from;
    }
    close(pair[0]);
    waitpid(pid, NULL, 0);
    print("worker.ping");
}

static bool allowed(mt_call *c, mt_slice permission)
{
    return permission.len > 0;
}

static const void *interface(void *ctx, mt_slice id)
{
    static const mt_request_1 request = {.size = sizeof request, .version = 1, .allowed = allowed};
    return mt_slice_eq(id, MT_SLICE("request/1")) ? &request : NULL;
}

static void ignore(void *ctx, int level, mt_slice event, const mt_field *fields, size_t n)
{
}

typedef struct bench {
    mti_loop *loop;
    mti_bus *bus;
    mti_worker *worker;
    const mt_plugin *entry;
} bench;

static void measure_hook(bench *b, mt_call *c)
{
    mt_http_response in = {.size = sizeof in, .operation = MT_SLICE("notes.list"), .status = 200, .body = MT_SLICE("{\"items\":[]}")};
    for (int i = -WARM_UP; i < TIMES; i++) {
        int64_t from = mti_mono_us();
        if (mti_bus_emit(b->bus, c, MTI_HOOK_HTTP_RESPONSE, &in) != MT_CONTINUE)
            abort();
        if (i >= 0)
            samples[i] = mti_mono_us() - from;
    }
    print("worker.hook");
}

/* Of a thousand questions in a call. */
static void measure_asks(bench *b, mt_call *c)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < ASKS; i++) {
        int64_t from = mti_mono_us();
        if (b->entry->handlers[0].run(b->worker, c) != MT_OK)
            abort();
        int64_t us = mti_mono_us() - from;
        least = us < least ? us : least;
    }
    printf("{\"name\":\"worker.ask\",\"value\":%.1f,\"unit\":\"us\"}\n", (double)least / 1000);
}

static void run(void *arg)
{
    bench *b = arg;
    mt_call c;
    mti_call_init(&c, b->loop);
    if (b->entry->activate(b->worker, &c) != MT_OK)
        abort();
    measure_hook(b, &c);
    measure_asks(b, &c);
    mti_worker_stop(b->worker);
    mti_call_dispose(&c);
    mti_loop_stop(b->loop);
}

static void start(void *arg)
{
    mti_fiber_spawn(((bench *)arg)->loop, run, arg);
}

int main(int argc, char **argv)
{
    static const mt_json_1 json = {.size = sizeof json, .version = 1};
    mti_error e = {0};
    if (argc > 1)
        return mti_worker_main(argc, argv, &(mti_worker_tables){.json = &json});
    mti_log_setup(STDERR_FILENO, MTI_LOG_WARN, MTI_LOG_LOGFMT);
    ping();
    bench b = {.loop = mti_loop_create(0)};
    mti_offload *offload = mti_offload_create(1);
    b.bus = mti_bus_create(&b.loop, 1);
    mti_worker_options o = {.slot = 1, .slug = "idle", .version = "0.1.0", .dir = BENCH_IDLE, .file = BENCH_IDLE "/idle.so", .symbol = "idle_plugin",
                            .loops = &b.loop, .n_loops = 1, .offload = offload, .interface = interface, .log = ignore, .memory = 1u << 30, .hang_ms = 10000, .activate_ms = 10000};
    if (mti_worker_create(&o, &b.worker, &b.entry, &e) != MT_OK) {
        fprintf(stderr, "bench_worker: %s\n", e.detail);
        return 1;
    }
    mti_bus_add(b.bus, &(mti_bus_handler){.owner = 1, .hook = MTI_HOOK_HTTP_RESPONSE, .run = b.entry->hooks[0].run, .self = b.worker, .label = "bench"});
    mti_bus_publish(b.bus);
    mti_loop_post(b.loop, start, &b);
    mti_loop_run(b.loop);
    mti_worker_destroy(b.worker);
    mti_bus_destroy(b.bus);
    mti_offload_destroy(offload);
    mti_loop_destroy(b.loop);
}
