/*
 * Exchanges over HTTP/2: an nghttp2 session on each connection that agreed on it. nghttp2 knows the protocol and its state; here are the
 * socket, the streams, the time limits; what a stream asks and gets is h2_exchange.c. What a client may make us do for little of its own is counted in
 * h2_guard.c.
 */
#include "http/h2.h"

#include <stdlib.h>

#include "base/log.h"

enum { OUT_BYTES = 64 << 10, CONNECTION_WINDOW = 1 << 20, STREAM_WINDOW = 256 << 10, NOTICE_MS = 250 };

/* --- the end of things --- */

static void stream_free(http_h2_stream *s)
{
    *(s->prev ? &s->prev->next : &s->conn->streams) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    if (s->input)
        h2o_buffer_dispose(&s->input);
    http_h2_head_dispose(&s->head);
    h2o_mem_clear_pool(&s->pool);
    free(s);
}

/* The stream is over: its request is told, and what nobody read is given back to the connection's window. */
static void stream_end(http_h2_stream *s, mt_status why)
{
    http_h2_conn *c = s->conn;
    mti_http_request *r = s->r;

    if (s->unread && c->session)
        nghttp2_session_consume_connection(c->session, s->unread);
    s->r = NULL;
    stream_free(s);
    if (r)
        http_request_ended(r, why);
}

static void conn_close(http_h2_conn *c, mt_status why)
{
    http_loop *hl = c->conn->hl;
    h2o_socket_t *sock = c->sock;

    if (c->busy) {
        c->dead = true;
        return;
    }
    nghttp2_session_del(c->session);
    c->session = NULL;
    while (c->streams)
        stream_end(c->streams, why);
    mti_timer_cancel(c->tick);
    if (c->notice)
        mti_timer_cancel(c->notice);
    *(c->prev ? &c->prev->next : &hl->h2_conns) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    mti_buf_dispose(&c->out);
    free(c);
    h2o_socket_close(sock); /* settles a drain */
}

/* --- writing --- */

static void on_write(h2o_socket_t *sock, const char *err);

/* Pieces that went out whole: their writers may give the next. */
static void tell_sent(http_h2_conn *c)
{
    for (http_h2_stream *s = c->streams; s; s = s->next)
        if (s->taken) {
            s->taken = false;
            if (s->r)
                http_request_sent(s->r);
        }
}

static bool gather(http_h2_conn *c)
{
    const uint8_t *p;
    ssize_t n = 0;

    c->busy = true;
    while (c->out.len < OUT_BYTES && (n = nghttp2_session_mem_send(c->session, &p)) > 0)
        if (mti_buf_add(&c->out, p, (size_t)n) != MT_OK)
            n = -1;
    if (n >= 0)
        tell_sent(c);
    c->busy = false;
    return n >= 0;
}

void http_h2_flush(http_h2_conn *c)
{
    h2o_iovec_t buf;

    if (c->busy || c->writing)
        return;
    if (!gather(c) || c->dead) {
        conn_close(c, MT_CANCELLED);
        return;
    }
    if (c->out.len) {
        c->writing = true;
        buf = h2o_iovec_init(c->out.p, c->out.len);
        h2o_socket_write(c->sock, &buf, 1, on_write);
    } else if (!nghttp2_session_want_read(c->session) || (c->leaving && !c->streams)) {
        conn_close(c, MT_CANCELLED);
    }
}

static void on_write(h2o_socket_t *sock, const char *err)
{
    http_h2_conn *c = sock->data;

    c->writing = false;
    mti_buf_clear(&c->out);
    if (err)
        conn_close(c, MT_CANCELLED);
    else
        http_h2_flush(c);
}

/* --- frames --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
    http_h2_conn *c = arg;
    http_h2_stream *s;

    if (f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers */
    s = h2o_mem_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->conn = c;
    s->id = f->hd.stream_id;
    s->next = c->streams;
    if (s->next)
        s->next->prev = s;
    c->streams = s;
    c->head_since = h2o_now(c->conn->hl->h2o.loop);
    h2o_mem_init_pool(&s->pool);
    s->fields[0] = (nghttp2_nv){(uint8_t *)":status", NULL, 7, 3, NGHTTP2_NV_FLAG_NO_COPY_NAME};
    s->n_fields = 1;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *arg)
{
    http_h2_stream *s = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
    http_h2_conn *c = arg;

    if (!http_h2_guard_header(c, name_len + value_len))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (s && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        http_h2_head_add(&s->head, (mt_slice){(const char *)name, name_len}, (mt_slice){(const char *)value, value_len});
    return 0;
}

static void request_begin(http_h2_stream *s, bool has_body)
{
    http_conn *conn = s->conn->conn;
    h2o_http1_field_t fields[H2_HEAD_FIELDS + 2];
    http_head head = {.fields = fields, .has_body = has_body};
    int status = http_h2_head_finish(&s->head, fields, &head);

    s->conn->any = true;
    if (status) {
        http_h2_answer_problem(s, status, status == 431 ? "head_too_large" : "malformed_request");
        return;
    }
    s->r = http_request_create(conn->hl, conn, &http_h2_transport, s, &head);
    http_h2_head_dispose(&s->head);
    if (!s->r || !http_request_run(s->r)) {
        s->r = NULL;
        http_h2_answer_problem(s, 503, "overloaded");
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
    http_h2_conn *c = arg;
    http_h2_stream *s = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
    const bool carries = f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA;

    if (f->hd.type == NGHTTP2_HEADERS) {
        c->head_since = 0;
        c->header_bytes = 0;
    }
    if (f->hd.type == NGHTTP2_RST_STREAM && !http_h2_guard_reset(c))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!s || !carries)
        return 0;
    s->ended |= (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        request_begin(s, !s->ended);
    else if (s->ended && s->reading)
        http_h2_body_look(s);
    return 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
    return http_h2_guard_frame(arg, hd) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
    http_h2_stream *s = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);

    http_h2_guard_sent(arg, &f->hd);
    if (s && s->answered && !s->ended && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS))
        http_h2_linger(s);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    http_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    http_h2_conn *c = arg;

    c->active = h2o_now(c->conn->hl->h2o.loop);
    if (s) {
        nghttp2_session_set_stream_user_data(session, id, NULL);
        stream_end(s, s->late ? MT_TIMEOUT : error == NGHTTP2_NO_ERROR && s->answered ? MT_OK : MT_CANCELLED);
    }
    return 0;
}

/* --- the connection --- */

static void on_read(h2o_socket_t *sock, const char *err)
{
    http_h2_conn *c = sock->data;
    ssize_t n;

    if (err) {
        conn_close(c, MT_CANCELLED);
        return;
    }
    c->busy = true;
    n = nghttp2_session_mem_recv(c->session, (const uint8_t *)sock->input->bytes, sock->input->size);
    c->busy = false;
    if (n > 0)
        h2o_buffer_consume(&sock->input, (size_t)n);
    if (n < 0 && !c->calm)
        c->calm = nghttp2_strerror((int)n);
    if (c->calm) {
        mti_log(MTI_LOG_INFO, "http.client_calmed", "peer=%s reason=%s", c->conn->peer, c->calm);
        nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
        h2o_socket_read_stop(sock);
        c->leaving = true;
    }
    http_h2_flush(c);
}

static void on_tick(void *arg)
{
    http_h2_conn *c = arg;
    const mti_http_options *o = &c->conn->hl->server->options;
    const uint64_t now = h2o_now(c->conn->hl->h2o.loop);

    c->tick = mti_timer_start(c->conn->hl->loop, c->tick_ms, on_tick, c);
    if (c->head_since && now - c->head_since > (uint64_t)o->head_ms) {
        conn_close(c, MT_TIMEOUT);
        return;
    }
    if (!c->streams && now - c->active > (uint64_t)(c->any ? o->idle_ms : o->head_ms)) {
        nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
        http_h2_flush(c);
        return;
    }
    if (now - c->progress_at < (uint64_t)o->progress_ms)
        return;
    c->progress_at = now;
    if (!http_h2_progress(c, o)) {
        conn_close(c, MT_TIMEOUT);
        return;
    }
    http_h2_flush(c);
}

/* Once a process: the callbacks and options are the same for every connection. */
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *option;

static void make_shared(void)
{
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, http_h2_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_settings(option, 32);
    nghttp2_option_set_max_outbound_ack(option, 100);
}

void http_h2_accept(http_conn *conn, h2o_socket_t *sock)
{
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 128},
                                                      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
                                                      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEAD_BYTES},
                                                      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const mti_http_options *o = &conn->hl->server->options;
    http_h2_conn *c = h2o_mem_alloc(sizeof *c);

    pthread_once(&once, make_shared);
    memset(c, 0, sizeof *c);
    c->conn = conn;
    c->sock = sock;
    c->active = c->progress_at = h2o_now(conn->hl->h2o.loop);
    http_h2_guard_init(c);
    mti_buf_init(&c->out, OUT_BYTES + (64 << 10));
    c->next = conn->hl->h2_conns;
    if (c->next)
        c->next->prev = c;
    conn->hl->h2_conns = c;
    sock->data = c;
    c->tick_ms = o->head_ms < o->progress_ms ? o->head_ms : o->progress_ms;
    c->tick_ms = o->idle_ms < c->tick_ms ? o->idle_ms : c->tick_ms;
    c->tick = mti_timer_start(conn->hl->loop, c->tick_ms, on_tick, c);
    if (nghttp2_session_server_new2(&c->session, callbacks, c, option)) {
        c->session = NULL;
        conn_close(c, MT_CANCELLED);
        return;
    }
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    h2o_socket_read_start(sock, on_read);
    if (sock->input->size)
        on_read(sock, NULL);
    else
        http_h2_flush(c);
}

/* A client may be sending a request just now: first it learns that we are leaving, and only then which was the last that we take. */
static void on_notice_over(void *arg)
{
    http_h2_conn *c = arg;

    c->notice = NULL;
    c->leaving = true;
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR, NULL, 0);
    http_h2_flush(c);
}

void http_h2_drain(http_loop *hl)
{
    for (http_h2_conn *c = hl->h2_conns, *next; c; c = next) {
        next = c->next;
        nghttp2_submit_shutdown_notice(c->session);
        c->notice = mti_timer_start(hl->loop, NOTICE_MS, on_notice_over, c);
        http_h2_flush(c);
    }
}

void http_h2_abort_all(http_loop *hl)
{
    while (hl->h2_conns)
        conn_close(hl->h2_conns, MT_CANCELLED);
}
