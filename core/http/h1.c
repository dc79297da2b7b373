/* Exchanges over HTTP/1.1: h2o's host mode behind the transport's functions. */
#include "http/internal.h"

#include <string.h>

static void h1_add_header(mti_http_request *r, mt_slice name, mt_slice value)
{
    h2o_req_t *req = r->side;
    char *copy = h2o_mem_alloc_pool(&req->pool, name.len + value.len);

    memcpy(copy, name.p, name.len);
    if (value.len)
        memcpy(copy + name.len, value.p, value.len);
    h2o_add_header_by_str(&req->pool, &req->res.headers, copy, name.len, 0, NULL, copy + name.len,
                          value.len);
}

/* Status, content type and the generator; after it h2o accepts data. */
static void begin(h2o_req_t *req, h2o_generator_t *g, int status, mt_slice content_type,
                  size_t length)
{
    req->res.status = status;
    req->res.reason = http_reason(status);
    req->res.content_length = http_is_bodiless(status) ? SIZE_MAX : length;
    if (content_type.p) {
        h2o_iovec_t v = h2o_strdup(&req->pool, content_type.p, content_type.len);
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, v.base, v.len);
    }
    h2o_start_response(req, g);
}

static void send_whole(h2o_req_t *req, h2o_generator_t *g, int status, mt_slice content_type,
                       mt_slice body)
{
    const bool with_body = body.p && body.len;
    h2o_iovec_t buf = {0};

    if (with_body)
        buf = h2o_strdup(&req->pool, body.p, body.len);
    begin(req, g, status, content_type, body.len);
    h2o_send(req, &buf, with_body, H2O_SEND_STATE_FINAL);
}

static void h1_answer(mti_http_request *r, int status, mt_slice content_type, mt_slice body)
{
    send_whole(r->side, &r->generator, status, content_type, body);
}

static void on_proceed(h2o_generator_t *g, h2o_req_t *req)
{
    http_request_sent(H2O_STRUCT_FROM_MEMBER(mti_http_request, generator, g));
}

static void h1_begin(mti_http_request *r, int status, mt_slice content_type)
{
    h2o_req_t *req = r->side;
    h2o_ostream_t *last;
    h2o_iovec_t none = {0};

    r->generator.proceed = on_proceed;
    if (req->version < 0x101 && !r->discard)
        req->http1_is_persistent = 0; /* the end of the connection is the end of the answer */
    begin(req, &r->generator, status, content_type, SIZE_MAX);
    h2o_http1_release_input(req);
    /* The chunked filter holds the head back until there is data: go around it. */
    for (last = req->_ostr_top; last->next; last = last->next)
        ;
    last->do_send(last, req, &none, 0, H2O_SEND_STATE_IN_PROGRESS);
}

static void h1_send(mti_http_request *r, mt_slice data, bool last)
{
    h2o_iovec_t buf = h2o_iovec_init(data.p, data.len);

    h2o_send(r->side, &buf, buf.len != 0,
             last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void on_entity(h2o_req_t *req, int status)
{
    mti_http_request *r = req->host.data;

    if (status == 0) {
        r->input = h2o_http1_take_input(req);
        r->body = (mt_slice){req->entity.base, req->entity.len};
        http_request_body_ended(r, MT_OK);
    } else {
        http_request_body_ended(r, status == 413   ? MT_TOO_LARGE
                                   : status == 408 ? MT_TIMEOUT
                                                   : MT_INVALID);
    }
}

static void h1_read_body(mti_http_request *r, size_t limit)
{
    h2o_http1_read_entity(r->side, limit, on_entity);
}

static void h1_abort(mti_http_request *r)
{
    h2o_http1_abort(r->side);
}

static const http_transport transport = {
    .add_header = h1_add_header, .answer = h1_answer,       .begin = h1_begin,
    .send = h1_send,             .read_body = h1_read_body, .abort = h1_abort,
};

/* h2o frees its side: the answer is complete, or the connection is gone. */
static void on_dispose(void *arg, int reason)
{
    http_request_ended(arg, reason == H2O_HTTP1_ENDED_WELL         ? MT_OK
                            : reason == H2O_HTTP1_ENDED_BY_TIMEOUT ? MT_TIMEOUT
                                                                   : MT_CANCELLED);
}

static void refuse(h2o_req_t *req)
{
    static h2o_generator_t none;
    char problem[192];

    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_RETRY_AFTER, NULL, H2O_STRLIT("1"));
    send_whole(req, &none, 503, MT_SLICE("application/problem+json"),
               http_problem(problem, sizeof problem, 503, "overloaded"));
}

void http_h1_on_head(h2o_req_t *req, const h2o_http1_head_t *head)
{
    http_loop *hl = (http_loop *)req->conn->ctx;
    http_conn *c = req->conn->callbacks->get_socket(req->conn)->on_close.data;
    mti_http_request *r = http_request_create(hl, c, &transport, req, head);

    if (r) {
        req->host.on_dispose = on_dispose;
        req->host.data = r;
        if (http_request_run(r))
            return;
        req->host.on_dispose = NULL;
    }
    if (c->refused)
        req->http1_is_persistent = 0;
    refuse(req);
}

void http_h1_accept(http_conn *c, h2o_socket_t *sock)
{
    h2o_accept_ctx_t ctx = {.ctx = &c->hl->h2o, .hosts = c->hl->server->conf.hosts};
    struct timeval now;

    gettimeofday(&now, NULL);
    h2o_http1_accept(&ctx, sock, now);
}

static int take_first(h2o_req_t *req, void *out)
{
    *(h2o_req_t **)out = req;
    return 1;
}

void http_h1_abort_all(http_loop *hl)
{
    h2o_req_t *req;

    while (req = NULL, hl->server->conf.http1.callbacks.foreach_request(&hl->h2o, take_first, &req),
           req)
        h2o_http1_abort(req);
}
