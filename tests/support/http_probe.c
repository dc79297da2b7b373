/*
 * A small server on core/http for black-box tests and measurements: each path below shows one way
 * to use the API. http_probe [--name=value …]; prints "port N" once it listens on 127.0.0.1;
 * SIGTERM drains and ends it.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "http/client.h"
#include "http/server.h"

enum { MAX_LOOPS = 8 };

static struct {
    unsigned loops;
    int port;
    const char *local, *proxies;
    int64_t grace_ms;
    mti_http_options http;
    mti_http_client_options client;
} options = {.loops = 1, .grace_ms = 500};

static mti_http_server *server;
static mti_loop *loops[MAX_LOOPS];
static mti_http_client *clients[MAX_LOOPS];
static pthread_t threads[MAX_LOOPS];
static int listener, local = -1;
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

static void do_deny(mti_http_request *r)
{
    answer(r, 401, "denied\n");
}

static void do_sleep(mti_http_request *r)
{
    mt_status st = mti_sleep(query_number(r, "ms", 1000));

    note(st);
    if (st == MT_OK)
        answer(r, 200, "slept\n");
}

/* Like database work behind a handler that must not be cut: the answer comes too late for a client
 * that left. */
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
    const long n = query_number(r, "n", 5), size = query_number(r, "size", 10),
               ms = query_number(r, "ms", 0);
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

static void do_none(mti_http_request *r)
{
    (void)r;
}

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

    len = (size_t)snprintf(text, sizeof text, "%.*s %.*s ? %.*s\n", (int)mti_http_method(r).len,
                           mti_http_method(r).p, (int)mti_http_path(r).len, mti_http_path(r).p,
                           (int)mti_http_query(r).len, mti_http_query(r).p);
    for (size_t i = 0; mti_http_header_at(r, i, &f); i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s=[%.*s]\n", (int)f.name.len,
                                f.name.p, (int)f.value.len, f.value.p);
    mti_http_respond(r, 200, MT_SLICE("text/plain"), (mt_slice){text, len});
}

static void do_inject(mti_http_request *r)
{
    mt_status a = mti_http_header_add(r, MT_SLICE("x-a"), MT_SLICE("v\r\nx-evil: 1"));
    mt_status b = mti_http_header_add(r, MT_SLICE("x b"), MT_SLICE("v"));
    mt_status c = mti_http_header_add(r, MT_SLICE("Content-Length"), MT_SLICE("3"));
    mt_status d = mti_http_header_add(r, MT_SLICE("x-ok"), MT_SLICE("yes"));

    answer(r, 200,
           a == MT_INVALID && b == MT_INVALID && c == MT_INVALID && d == MT_OK ? "safe\n"
                                                                               : "unsafe\n");
}

static void do_status(mti_http_request *r)
{
    answer(r, (int)query_number(r, "code", 204), "text\n");
}
static void do_peer(mti_http_request *r)
{
    mti_http_respond(r, 200, MT_SLICE("text/plain"), mti_http_peer(r));
}

/* Takes the certificate anew, as a server does every few seconds. */
static void do_reload(mti_http_request *r)
{
    mti_error e = {0};

    answer(r, 200, mti_http_tls_reload(server, &e) == MT_OK ? "taken\n" : e.detail);
}

static void do_stats(mti_http_request *r)
{
    mti_http_stats s;
    char text[256];

    mti_http_stats_get(server, mti_http_loop(r), &s);
    snprintf(text, sizeof text,
             "cancelled=%d timed_out=%d finished=%d connections=%u running=%u refused=%lu\n",
             cancelled, timed_out, finished, s.connections, s.running, (unsigned long)s.refused);
    answer(r, 200, text);
}

static void fetch_report(mti_http_request *r, mt_status st, int status, mt_slice body,
                         const mti_error *e)
{
    char text[256];
    mti_buf out;

    mti_buf_init(&out, 64 << 20);
    snprintf(text, sizeof text, "st=%s status=%d code=%s len=%zu body=", mti_status_name(st),
             status, st == MT_OK || st == MT_DONE ? "" : e->code, body.len);
    mti_buf_adds(&out, text);
    mti_buf_add(&out, body.p, body.len);
    mti_http_respond(r, 200, MT_SLICE("text/plain"), mti_buf_slice(&out));
    mti_buf_dispose(&out);
}

/* Fetches the URL in the header x-url; every x-send-… header goes along. */
static void do_fetch(mti_http_request *r)
{
    mti_http_client *c = mti_http_client_of(mti_http_loop(r));
    mti_error e = {0};
    mti_arena arena;
    mti_http_reply reply;
    mt_field sent[8], f;
    mti_http_outgoing o = {.headers = sent,
                           .allow_private = query_number(r, "private", 1),
                           .max_body = (size_t)query_number(r, "max", 0),
                           .max_redirects = (unsigned)query_number(r, "redirects", 0),
                           .head_ms = query_number(r, "head", 0),
                           .idle_ms = query_number(r, "idle", 0),
                           .total_ms = query_number(r, "total", 0)};
    mt_status st;

    mti_arena_init(&arena, 0);
    for (size_t i = 0; mti_http_header_at(r, i, &f) && o.header_count < 8; i++)
        if (f.name.len > 7 && memcmp(f.name.p, "x-send-", 7) == 0)
            sent[o.header_count++] = (mt_field){{f.name.p + 7, f.name.len - 7}, f.value};
    f.value = mti_http_header(r, "x-url");
    o.url = mti_arena_strndup(&arena, f.value.p, f.value.len);
    f.value = mti_http_header(r, "x-method");
    o.method = f.value.p ? mti_arena_strndup(&arena, f.value.p, f.value.len) : NULL;
    mti_http_body(r, 1 << 20, &o.body);
    st = mti_http_fetch_whole(c, &o, &arena, &reply, &e);
    note(st);
    fetch_report(r, st, reply.status, reply.body, &e);
    mti_arena_dispose(&arena);
}

/* Passes a streamed answer through, as it comes. */
static void do_relay(mti_http_request *r)
{
    mt_slice url = mti_http_header(r, "x-url"), piece;
    char text[1024];
    mti_http_outgoing o = {.url = text,
                           .allow_private = true,
                           .idle_ms = query_number(r, "idle", 0),
                           .max_body = SIZE_MAX};
    mti_http_fetch *f;
    mti_error e = {0};
    mt_status st;

    snprintf(text, sizeof text, "%.*s", (int)url.len, url.p);
    if ((st = mti_http_fetch_open(mti_http_client_of(mti_http_loop(r)), &o, &f, &e)) != MT_OK) {
        fetch_report(r, st, 0, (mt_slice){0}, &e);
        return;
    }
    mti_http_stream_begin(r, mti_http_fetch_status(f), mti_http_fetch_header(f, "content-type"));
    while ((st = mti_http_fetch_next(f, &piece, &e)) == MT_OK)
        if ((st = mti_http_stream_write(r, piece)) != MT_OK)
            break;
    note(st);
    mti_http_fetch_close(f);
    if (st == MT_DONE)
        mti_http_stream_end(r);
}

static const struct {
    const char *path;
    void (*run)(mti_http_request *r);
} paths[] = {
    {"/hello", do_hello},   {"/echo", do_echo},         {"/deny", do_deny},
    {"/sleep", do_sleep},   {"/shielded", do_shielded}, {"/late", do_late},
    {"/after", do_after},   {"/stream", do_stream},     {"/cut", do_cut},
    {"/none", do_none},     {"/big", do_big},           {"/headers", do_headers},
    {"/inject", do_inject}, {"/status", do_status},     {"/peer", do_peer},
    {"/stats", do_stats},   {"/fetch", do_fetch},       {"/relay", do_relay},
    {"/reload", do_reload},
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

static void on_drained(void *arg)
{
    mti_loop_stop(arg);
}

static void on_term(void *arg)
{
    mti_http_drain(server, arg, 0, options.grace_ms, on_drained, arg);
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

static int listen_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) || listen(fd, 64)) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static void read_option(const char *arg)
{
    const char *eq = strchr(arg, '=');
    long v = eq ? atol(eq + 1) : 0;

#define IS(name) (strncmp(arg, "--" name "=", sizeof name + 2) == 0)
    if (IS("loops"))
        options.loops = (unsigned)v;
    else if (IS("unix"))
        options.local = eq + 1;
    else if (IS("port"))
        options.port = (int)v;
    else if (IS("grace"))
        options.grace_ms = v;
    else if (IS("head"))
        options.http.head_ms = v;
    else if (IS("idle"))
        options.http.idle_ms = v;
    else if (IS("progress"))
        options.http.progress_ms = v;
    else if (IS("tls-certificate"))
        options.http.tls_certificate = eq + 1;
    else if (IS("tls-key"))
        options.http.tls_key = eq + 1;
    else if (IS("http2"))
        options.http.http2 = v != 0;
    else if (IS("proxies"))
        options.proxies = eq + 1;
    else if (IS("min-progress"))
        options.http.min_progress = (size_t)v;
    else if (IS("connections"))
        options.http.max_connections = (unsigned)v;
    else if (IS("exchanges"))
        options.client.max_exchanges = (unsigned)v;
    else if (IS("host-connections"))
        options.client.max_host_connections = (unsigned)v;
    else if (IS("requests"))
        options.http.max_requests = (unsigned)v;
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
    mti_http_proxies *proxies = NULL;
    mti_error e = {0};
    if (options.proxies && mti_http_proxies_parse(options.proxies, &proxies, &e) != MT_OK) {
        fprintf(stderr, "%s\n", e.detail);
        return 1;
    }
    options.http.proxies = proxies;
    if (mti_http_server_create(&options.http, &server, &e) != MT_OK) {
        fprintf(stderr, "%s\n", e.detail);
        return 1;
    }
    for (unsigned i = 0; i < options.loops; i++) {
        loops[i] = mti_loop_create(i);
        mti_http_listen(server, loops[i], listener);
        if (options.local && i == 0)
            mti_http_listen(server, loops[i], local = listen_unix(options.local));
        clients[i] = mti_http_client_create(loops[i], &options.client);
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
        mti_http_client_destroy(clients[i]);
        mti_loop_destroy(loops[i]);
    }
    mti_http_server_destroy(server);
    mti_http_proxies_destroy(proxies);
    close(listener);
    if (local >= 0)
        close(local);
    return 0;
}
