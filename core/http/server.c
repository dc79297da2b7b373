/* Listening sockets, connections and their caps, and the graceful end. */
#include "http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "base/log.h"

enum { ACCEPT_BATCH = 8, ACCEPT_PAUSE_MS = 100 };

mt_status mti_http_server_create(const mti_http_options *o, mti_http_server **out, mti_error *e)
{
    http_tls *tls = NULL;
    if (o->tls_certificate && *o->tls_certificate)
        MT_TRY(http_tls_create(o, &tls, e));

    mti_http_server *s = h2o_mem_alloc(sizeof *s);
    mti_http_options *p = &s->options;

    memset(s, 0, sizeof *s);
    s->tls = tls;
    *p = *o;
    p->max_connections = p->max_connections ? p->max_connections : 20000;
    p->max_requests = p->max_requests ? p->max_requests : 16000;
    p->head_ms = p->head_ms ? p->head_ms : 10000;
    p->idle_ms = p->idle_ms ? p->idle_ms : 75000;
    p->progress_ms = p->progress_ms ? p->progress_ms : 10000;
    p->min_progress = p->min_progress ? p->min_progress : 2048;
    p->stream_buffer = p->stream_buffer ? p->stream_buffer : 65536;

    h2o_config_init(&s->conf);
    h2o_config_register_host(&s->conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    s->conf.server_name = h2o_iovec_init(NULL, 0);
    s->conf.http1.upgrade_to_http2 = 0;
    s->conf.http1.req_timeout = (uint64_t)p->head_ms;
    s->conf.http1.host.on_head = http_h1_on_head;
    s->conf.http1.host.idle_timeout = (uint64_t)p->idle_ms;
    s->conf.http1.host.progress_timeout = (uint64_t)p->progress_ms;
    s->conf.http1.host.min_progress = p->min_progress;
    *out = s;
    return MT_OK;
}

mt_status mti_http_tls_reload(mti_http_server *s, mti_error *e)
{
    return s->tls ? http_tls_reload(s->tls, e) : MT_OK;
}

void mti_http_server_destroy(mti_http_server *s)
{
    if (!s)
        return;
    http_tls_destroy(s->tls);
    h2o_config_dispose(&s->conf);
    free(s);
}

void http_conn_release(http_conn *c)
{
    if (--c->refs)
        return;
    SSL_CTX_free(c->context);
    free(c);
}

static void on_conn_close(void *arg)
{
    http_conn *c = arg;
    http_loop *hl = c->hl;

    hl->stats.connections--;
    c->open = false;
    http_conn_release(c);
    http_loop_settle(hl);
}

static void conn_note_peer(http_conn *c, h2o_socket_t *sock)
{
    struct sockaddr_storage sa = {0};

    h2o_socket_getpeername(sock, (struct sockaddr *)&sa);
    c->proxy = http_proxies_trust(&c->hl->server->options, (struct sockaddr *)&sa);
    if (sa.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&sa)->sin_addr, c->peer, sizeof c->peer);
    else if (sa.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&sa)->sin6_addr, c->peer, sizeof c->peer);
    else if (sa.ss_family == AF_UNIX) {
        c->local = true;
        memcpy(c->peer, "local", sizeof "local");
    }
}

static void speak(http_conn *c, h2o_socket_t *sock)
{
    if (c->tls && http_tls_is_h2(sock))
        http_h2_accept(c, sock);
    else
        http_h1_accept(c, sock);
}

static void handshake_unlink(http_conn *c)
{
    if (c->handshake)
        mti_timer_cancel(c->handshake);
    c->handshake = NULL;
    c->sock = NULL;
    *(c->prev ? &c->prev->next : &c->hl->handshakes) = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    http_conn *c = sock->on_close.data;

    handshake_unlink(c);
    if (err || (c->hl->draining && !c->hl->idle))
        h2o_socket_close(sock);
    else
        speak(c, sock);
}

static void handshake_end(http_conn *c)
{
    h2o_socket_t *sock = c->sock;

    handshake_unlink(c);
    h2o_socket_close(sock);
}

static void on_handshake_late(void *arg)
{
    http_conn *c = arg;

    c->handshake = NULL;
    handshake_end(c);
}

static void handshake_begin(http_conn *c, h2o_socket_t *sock)
{
    http_loop *hl = c->hl;
    const int timeout_ms = (int)(3 * hl->server->options.progress_ms);

    /* a reader that is stuck just when we say goodbye */
    setsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    c->tls = true;
    c->context = http_tls_context(hl->server->tls);
    c->sock = sock;
    c->handshake = mti_timer_start(hl->loop, hl->server->options.head_ms, on_handshake_late, c);
    c->next = hl->handshakes;
    if (c->next)
        c->next->prev = c;
    hl->handshakes = c;
    h2o_socket_ssl_handshake(sock, c->context, NULL, on_handshake);
}

http_conn *http_conn_open(http_loop *hl, h2o_socket_t *sock)
{
    http_conn *c = h2o_mem_alloc(sizeof *c);

    *c = (http_conn){.hl = hl, .refs = 1, .open = true, .refused = hl->stats.connections >= hl->server->options.max_connections};
    hl->stats.connections++;
    sock->on_close.cb = on_conn_close;
    sock->on_close.data = c;
    conn_note_peer(c, sock);
    return c;
}

static void accept_one(http_loop *hl, h2o_socket_t *sock)
{
    http_conn *c;

    hl->stats.accepted++;
    if (hl->stats.connections >= hl->server->options.max_connections + HTTP_OVERFLOW) {
        hl->stats.refused++;
        h2o_socket_close(sock);
        return;
    }
    c = http_conn_open(hl, sock);
    if (hl->server->tls && !c->local)
        handshake_begin(c, sock);
    else
        speak(c, sock);
}

static void on_accept(h2o_socket_t *sock, const char *err);

static void on_pause_over(void *arg)
{
    http_listener *ln = arg;
    ln->pause = NULL;
    h2o_socket_read_start(ln->sock, on_accept);
}

static void on_accept(h2o_socket_t *sock, const char *err)
{
    http_listener *ln = sock->data;
    h2o_socket_t *accepted;

    if (err)
        return;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (!(accepted = h2o_evloop_socket_accept(sock))) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                /* the backlog stays readable: without a pause the loop would spin */
                mti_log(MTI_LOG_WARN, "http.accept_failed", "error=%s", strerror(errno));
                h2o_socket_read_stop(sock);
                ln->pause = mti_timer_start(ln->hl->loop, ACCEPT_PAUSE_MS, on_pause_over, ln);
            }
            return;
        }
        accept_one(ln->hl, accepted);
    }
}

static http_loop *http_loop_get(mti_http_server *s, mti_loop *l)
{
    http_loop **slot = &s->loops[mti_loop_index(l)];

    if (!*slot) {
        *slot = h2o_mem_alloc(sizeof **slot);
        memset(*slot, 0, sizeof **slot);
        h2o_context_init(&(*slot)->h2o, mti_loop_h2o(l), &s->conf);
        (*slot)->server = s;
        (*slot)->loop = l;
    }
    return *slot;
}

mt_status mti_http_listen(mti_http_server *s, mti_loop *l, int fd)
{
    http_listener *ln;
    http_loop *hl;
    int own;

    if (mti_loop_index(l) >= HTTP_MAX_LOOPS)
        return MT_INTERNAL;
    if ((own = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
        return MT_INTERNAL;
    hl = http_loop_get(s, l);
    ln = h2o_mem_alloc(sizeof *ln);
    *ln = (http_listener){.hl = hl, .next = hl->listeners};
    ln->sock = h2o_evloop_socket_create(hl->h2o.loop, own, H2O_SOCKET_FLAG_DONT_READ);
    ln->sock->data = ln;
    hl->listeners = ln;
    h2o_socket_read_start(ln->sock, on_accept);
    return MT_OK;
}

void mti_http_stats_get(const mti_http_server *s, const mti_loop *l, mti_http_stats *out)
{
    const http_loop *hl = s->loops[mti_loop_index(l)];
    *out = hl ? hl->stats : (mti_http_stats){0};
}

static void listeners_close(http_loop *hl)
{
    http_listener *ln;

    while ((ln = hl->listeners)) {
        hl->listeners = ln->next;
        if (ln->pause)
            mti_timer_cancel(ln->pause);
        h2o_socket_close(ln->sock);
        free(ln);
    }
}

/* The grace is over: every connection is reset, which cancels the fibers behind them. */
static void on_grace_over(void *arg)
{
    http_loop *hl = arg;

    hl->grace = NULL;
    mti_log(MTI_LOG_WARN, "http.drain_forced", "connections=%u running=%u", hl->stats.connections,
            hl->stats.running);
    http_h1_abort_all(hl);
    http_h2_abort_all(hl);
}

static void on_finish(void *arg)
{
    http_loop *hl = arg;
    void (*done)(void *) = hl->done;
    void *done_arg = hl->done_arg, *block;

    hl->server->loops[mti_loop_index(hl->loop)] = NULL;
    h2o_context_dispose(&hl->h2o);
    /* h2o's caches are the thread's, which may end with the loop */
    h2o_mem_clear_recycle(&h2o_socket_buffer_prototype.allocator);
    h2o_mem_clear_recycle(NULL);
    while ((block = hl->blocks)) {
        hl->blocks = *(void **)block;
        free(block);
    }
    free(hl);
    if (done)
        done(done_arg);
}

void http_loop_settle(http_loop *hl)
{
    if (!hl->draining || hl->finish || hl->stats.connections || hl->live)
        return;
    if (hl->grace)
        mti_timer_cancel(hl->grace);
    if (hl->idle)
        mti_timer_cancel(hl->idle);
    hl->grace = hl->idle = NULL;
    /* in a later turn: h2o's own frames may lie below us */
    hl->finish = mti_timer_start(hl->loop, 0, on_finish, hl);
}

static void close_idle(http_loop *hl)
{
    while (hl->handshakes)
        handshake_end(hl->handshakes);
    hl->h2o.shutdown_requested = 2; /* from now on a connection whose answer said nothing of it ends with it, too */
    h2o_http1_close_idle(&hl->h2o);
}

static void on_idle_over(void *arg)
{
    http_loop *hl = arg;

    hl->idle = NULL;
    close_idle(hl);
    http_loop_settle(hl);
}

void mti_http_drain(mti_http_server *s, mti_loop *l, int64_t idle_ms, int64_t grace_ms,
                    void (*done)(void *arg), void *arg)
{
    http_loop *hl = http_loop_get(s, l);

    hl->draining = true;
    hl->done = done;
    hl->done_arg = arg;
    hl->h2o.shutdown_requested = 1;
    listeners_close(hl);
    if (idle_ms)
        hl->idle = mti_timer_start(l, idle_ms, on_idle_over, hl);
    else
        close_idle(hl);
    http_h2_drain(hl);
    hl->grace = mti_timer_start(l, grace_ms, on_grace_over, hl);
    http_loop_settle(hl);
}

void mti_http_hurry(mti_http_server *s, mti_loop *l, int64_t grace_ms)
{
    http_loop *hl = s->loops[mti_loop_index(l)];

    if (!hl || !hl->draining || hl->finish)
        return;
    if (hl->idle)
        mti_timer_cancel(hl->idle);
    hl->idle = NULL;
    close_idle(hl);
    if (hl->grace)
        mti_timer_cancel(hl->grace);
    hl->grace = mti_timer_start(l, grace_ms, on_grace_over, hl);
    http_loop_settle(hl);
}
