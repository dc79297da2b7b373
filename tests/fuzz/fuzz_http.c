/*
 * A connection's bytes, as a client sends them: the first byte's lowest bit chooses HTTP/1.1 or HTTP/2, the next two how many bytes are sent
 * at a time. Whatever comes, the connection ends, no request stays, and every body that a handler got is one that was sent.
 */
#include "base/log.h"
#include "http/h2.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 64 << 10, STEPS = 4000 };

static mti_loop *loop;
static mti_http_server *server;

static void entry(mti_http_request *r, void *ctx)
{
    mt_slice body = {0};
    mt_field f;
    for (size_t i = 0; mti_http_header_at(r, i, &f); i++)
        if (!f.name.len || memchr(f.name.p, '\n', f.name.len) || memchr(f.value.p, '\r', f.value.len) || memchr(f.value.p, 0, f.value.len))
            abort();
    if (!mti_http_path(r).len || !mti_http_method(r).len)
        abort();
    mt_status s = mti_http_body(r, 1000, &body);
    if (body.len > 1000 || (s != MT_OK && body.len))
        abort();
    mti_http_respond(r, s == MT_OK ? 200 : 400, MT_SLICE("text/plain"), body);
}

static void start(void)
{
    mti_error e = {0};
    mti_log_setup(-1, MTI_LOG_ERROR, MTI_LOG_LOGFMT);
    loop = mti_loop_create(0);
    mti_loop_step(loop, 0);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0); /* never listens: it only makes the loop known to the server */
    if (mti_http_server_create(&(mti_http_options){.entry = entry, .head_ms = 60000, .idle_ms = 60000, .progress_ms = 60000}, &server, &e) != MT_OK ||
        mti_http_listen(server, loop, listener) != MT_OK)
        abort();
    http_loop *hl = server->loops[0];
    h2o_socket_read_stop(hl->listeners->sock);
}

static bool turn(int fd)
{
    char sink[4096];
    ssize_t n;
    mti_loop_step(loop, 0);
    while ((n = recv(fd, sink, sizeof sink, MSG_DONTWAIT)) > 0)
        ;
    return server->loops[0]->stats.connections != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    int pair[2], steps = 0;
    if (n < 3 || n > MOST)
        return 0;
    if (!loop)
        start();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
        abort();
    http_loop *hl = server->loops[0];
    h2o_socket_t *sock = h2o_evloop_socket_create(hl->h2o.loop, pair[0], 0);
    const size_t part = p[1] + 256u * p[2] + 1;
    (p[0] & 1 ? http_h2_accept : http_h1_accept)(http_conn_open(hl, sock), sock);
    bool open = !(p[0] & 1) || send(pair[1], preface, sizeof preface - 1, MSG_NOSIGNAL) > 0;
    for (size_t at = 3; at < n && open; at += part)
        open = send(pair[1], p + at, n - at < part ? n - at : part, MSG_NOSIGNAL) > 0 && turn(pair[1]);
    shutdown(pair[1], SHUT_WR);
    while (turn(pair[1]) || hl->live)
        if (++steps == STEPS)
            abort();
    close(pair[1]);
    return 0;
}
