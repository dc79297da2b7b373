/*
 * A small server on core/http for black-box tests and measurements: each path below shows one way to use the API.
 * http_probe [--name=value …]; prints "port N" once it listens on 127.0.0.1; SIGTERM drains and ends it.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/server.h"

enum { MAX_LOOPS = 8 };

static struct {
    unsigned loops;
    int port;
    int64_t grace_ms;
    mti_http_options http;
} options = {.loops = 1, .grace_ms = 500};

static mti_http_server *server;
static mti_loop *loops[MAX_LOOPS];
static pthread_t threads[MAX_LOOPS];
static int listener;
static atomic_int cancelled, timed_out, finished;

static long query_number(mti_http_request *r, const char *name, long otherwise)
{
    mt_slice q = mti_http_query(r);
    char text[256];
    const char *at;

    snprintf(text, sizeof text, "%.*s", (int)q.len, q.len ? q.p : "");
    at = strstr(text, name);
    return at && at[strlen(name)] == '=' ? atol(at + strlen(name) + 1) : otherwise;
}

static void answer(mti_http_request *r, int status, const char *text)
{
    mti_http_respond(r, status, MT_SLICE("text/plain"), mt_str(text));
}

static int status_of(mt_status st)
{
    return st == MT_TOO_LARGE ? 413 : st == MT_TIMEOUT ? 408 : st == MT_INVALID ? 400 : 500;
}

static void note(mt_status st)
{
    if (st == MT_CANCELLED)
        cancelled++;
    if (st == MT_TIMEOUT)
        timed_out++;
}

static void do_hello(mti_http_request *r)
{
    mti_http_respond(r, 200, MT_SLICE("application/json"), MT_SLICE("{\"hello\":\"world\"}"));
}

static void do_echo(mti_http_request *r)
{
    mt_slice body;
    mt_status st = mti_http_body(r, (size_t)query_number(r, "limit", 1 << 20), &body);

    note(st);
    if (st == MT_OK)
        mti_http_respond(r, 200, MT_SLICE("application/octet-stream"), body);
    else
        answer(r, status_of(st), "body\n");
}

static void do_deny(mti_http_request *r) { answer(r, 401, "denied\n"); }

static void do_sleep(mti_http_request *r)
{
    mt_status st = mti_sleep(query_number(r, "ms", 1000));

    note(st);
    if (st == MT_OK)
        answer(r, 200, "slept\n");
}

/* Like database work behind a handler that must not be cut: the answer comes too late for a client that left. */
static void do_shielded(mti_http_request *r)
{
    mti_fiber_shield(true);
    mti_sleep(query_number(r, "ms", 300));
    mti_fiber_shield(false);
    finished++;
    answer(r, 200, "done\n");
}

/* Sleeps while the body waits to be read. */
static void do_late(mti_http_request *r)
{
    mti_sleep(query_number(r, "ms", 100));
    do_echo(r);
}

static void do_after(mti_http_request *r)
{
    answer(r, 200, "first\n");
    mti_sleep(query_number(r, "ms", 300));
    /* slices stay valid although the connection has gone on */
    if (mt_slice_eq(mti_http_path(r), MT_SLICE("/after")) && mti_http_header(r, "host").p)
        finished++;
}

static void do_stream(mti_http_request *r)
{
    const long n = query_number(r, "n", 5), size = query_number(r, "size", 10), ms = query_number(r, "ms", 0);
    char *chunk = malloc((size_t)size + 1);
    mt_status st = mti_http_stream_begin(r, 200, MT_SLICE("text/event-stream"));

    memset(chunk, 'x', (size_t)size);
    for (long i = 0; st == MT_OK && i < n; i++) {
        st = mti_http_stream_write(r, (mt_slice){chunk, (size_t)size});
        if (st == MT_OK && ms)
            st = mti_sleep(ms);
    }
    if (mti_http_gone(r))
        st = mti_http_stream_write(r, MT_SLICE("x"));
    note(st);
    free(chunk);
    mti_http_stream_end(r);
}

static void do_cut(mti_http_request *r)
{
    mti_http_stream_begin(r, 200, MT_SLICE("text/event-stream"));
    mti_http_stream_write(r, MT_SLICE("half"));
    mti_sleep(50);
}

static void do_none(mti_http_request *r) { (void)r; }

static void do_big(mti_http_request *r)
{
    size_t n = (size_t)query_number(r, "size", 1 << 20);
    char *p = malloc(n);

    memset(p, 'b', n);
    mti_http_respond(r, 200, MT_SLICE("text/plain"), (mt_slice){p, n});
    free(p);
}

static void do_headers(mti_http_request *r)
{
    char text[40000];
    size_t len;
    mt_field f;

    len = (size_t)snprintf(text, sizeof text, "%.*s %.*s ? %.*s\n", (int)mti_http_method(r).len, mti_http_method(r).p,
                           (int)mti_http_path(r).len, mti_http_path(r).p, (int)mti_http_query(r).len,
                           mti_http_query(r).p);
    for (size_t i = 0; mti_http_header_at(r, i, &f); i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s=[%.*s]\n", (int)f.name.len, f.name.p,
                                (int)f.value.len, f.value.p);
    mti_http_respond(r, 200, MT_SLICE("text/plain"), (mt_slice){text, len});
}

static void do_inject(mti_http_request *r)
{
    mt_status a = mti_http_header_add(r, MT_SLICE("x-a"), MT_SLICE("v\r\nx-evil: 1"));
    mt_status b = mti_http_header_add(r, MT_SLICE("x b"), MT_SLICE("v"));
    mt_status c = mti_http_header_add(r, MT_SLICE("x-ok"), MT_SLICE("yes"));

    answer(r, 200, a == MT_INVALID && b == MT_INVALID && c == MT_OK ? "safe\n" : "unsafe\n");
}

static void do_status(mti_http_request *r) { answer(r, (int)query_number(r, "code", 204), "text\n"); }
static void do_peer(mti_http_request *r) { mti_http_respond(r, 200, MT_SLICE("text/plain"), mti_http_peer(r)); }

static void do_stats(mti_http_request *r)
{
    mti_http_stats s;
    char text[256];

    mti_http_stats_get(server, mti_http_loop(r), &s);
    snprintf(text, sizeof text, "cancelled=%d timed_out=%d finished=%d connections=%u running=%u refused=%lu\n",
             cancelled, timed_out, finished, s.connections, s.running, (unsigned long)s.refused);
    answer(r, 200, text);
}

static const struct {
    const char *path;
    void (*run)(mti_http_request *r);
} paths[] = {
    {"/hello", do_hello},       {"/echo", do_echo},     {"/deny", do_deny},       {"/sleep", do_sleep},
    {"/shielded", do_shielded}, {"/late", do_late},     {"/after", do_after},     {"/stream", do_stream},
    {"/cut", do_cut},           {"/none", do_none},     {"/big", do_big},         {"/headers", do_headers},
    {"/inject", do_inject},     {"/status", do_status}, {"/peer", do_peer},       {"/stats", do_stats},
};

static void entry(mti_http_request *r, void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (mt_slice_eq(mti_http_path(r), mt_str(paths[i].path))) {
            paths[i].run(r);
            return;
        }
    }
    answer(r, 404, "no such path\n");
}

static void on_drained(void *arg) { mti_loop_stop(arg); }

static void on_term(void *arg)
{
    mti_http_drain(server, arg, options.grace_ms, on_drained, arg);
}

static void *wait_for_term(void *arg)
{
    sigset_t set;
    int sig;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigwait(&set, &sig);
    for (unsigned i = 0; i < options.loops; i++)
        mti_loop_post(loops[i], on_term, loops[i]);
    return NULL;
}

static void *run_loop(void *arg)
{
    mti_loop_run(arg);
    return NULL;
}

static int listen_local(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) || listen(fd, 4096)) {
        perror("listen");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&sa, &len);
    options.port = ntohs(sa.sin_port);
    return fd;
}

static void read_option(const char *arg)
{
    const char *eq = strchr(arg, '=');
    long v = eq ? atol(eq + 1) : 0;

#define IS(name) (strncmp(arg, "--" name "=", sizeof name + 2) == 0)
    if (IS("loops")) options.loops = (unsigned)v;
    else if (IS("port")) options.port = (int)v;
    else if (IS("grace")) options.grace_ms = v;
    else if (IS("head")) options.http.head_ms = v;
    else if (IS("idle")) options.http.idle_ms = v;
    else if (IS("progress")) options.http.progress_ms = v;
    else if (IS("min-progress")) options.http.min_progress = (size_t)v;
    else if (IS("connections")) options.http.max_connections = (unsigned)v;
    else if (IS("requests")) options.http.max_requests = (unsigned)v;
#undef IS
}

int main(int argc, char **argv)
{
    pthread_t waiter;
    sigset_t set;

    for (int i = 1; i < argc; i++)
        read_option(argv[i]);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);

    listener = listen_local();
    options.http.entry = entry;
    server = mti_http_server_create(&options.http);
    for (unsigned i = 0; i < options.loops; i++) {
        loops[i] = mti_loop_create(i);
        mti_http_listen(server, loops[i], listener);
    }
    pthread_create(&waiter, NULL, wait_for_term, NULL);
    for (unsigned i = 1; i < options.loops; i++)
        pthread_create(&threads[i], NULL, run_loop, loops[i]);
    printf("port %d\n", options.port);
    fflush(stdout);
    mti_loop_run(loops[0]);
    pthread_join(waiter, NULL);
    for (unsigned i = 0; i < options.loops; i++) {
        if (i)
            pthread_join(threads[i], NULL);
        mti_loop_destroy(loops[i]);
    }
    mti_http_server_destroy(server);
    close(listener);
    return 0;
}
