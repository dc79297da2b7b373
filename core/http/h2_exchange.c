/* One exchange on a stream of HTTP/2: its answer, and the body that comes. */
#include "http/h2.h"

enum { LINGER_BYTES = 1 << 20 };

static ssize_t on_data_wanted(nghttp2_session *session, int32_t id, uint8_t *out, size_t size, uint32_t *flags,
                              nghttp2_data_source *source, void *arg)
{
    http_h2_stream *s = source->ptr;
    size_t n = s->data.len < size ? s->data.len : size;

    if (!n && !s->last)
        return NGHTTP2_ERR_DEFERRED;
    if (n)
        memcpy(out, s->data.p, n);
    s->data = (mt_slice){s->data.p + n, s->data.len - n};
    s->sent += n;
    if (!s->data.len) {
        s->taken = s->piece && !s->last; /* after the last one nobody is told */
        s->piece = false;
        if (s->last)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

/* --- the answer --- */

static void add(http_h2_stream *s, mt_slice name, mt_slice value)
{
    char *copy;

    if (s->n_fields == H2_ANSWER_FIELDS)
        return;
    copy = h2o_mem_alloc_pool(&s->pool, name.len + value.len + 1);
    for (size_t i = 0; i < name.len; i++)
        copy[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
    if (value.len)
        memcpy(copy + name.len, value.p, value.len);
    s->fields[s->n_fields++] = (nghttp2_nv){(uint8_t *)copy, (uint8_t *)copy + name.len, name.len, value.len,
                                            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static void h2_add_header(mti_http_request *r, mt_slice name, mt_slice value)
{
    add(r->side, name, value);
}

/* status goes first; its field is the first of the array from the beginning. */
static void submit(http_h2_stream *s, int status, mt_slice type, size_t length, bool with_data)
{
    char text[24];
    nghttp2_data_provider data = {.source.ptr = s, .read_callback = on_data_wanted};

    s->fields[0].value = h2o_mem_alloc_pool(&s->pool, 4);
    snprintf((char *)s->fields[0].value, 4, "%03d", status);
    if (type.p)
        add(s, MT_SLICE("content-type"), type);
    if (length != SIZE_MAX && !http_is_bodiless(status))
        add(s, MT_SLICE("content-length"), (mt_slice){text, (size_t)snprintf(text, sizeof text, "%zu", length)});
    s->answered = true;
    nghttp2_submit_response(s->conn->session, s->id, s->fields, s->n_fields, with_data ? &data : NULL);
    http_h2_flush(s->conn);
}

static void answer(http_h2_stream *s, int status, mt_slice type, mt_slice body)
{
    const bool with_data = body.p && body.len;

    if (with_data) {
        h2o_iovec_t copy = h2o_strdup(&s->pool, body.p, body.len);
        s->data = (mt_slice){copy.base, copy.len};
    }
    s->last = true;
    submit(s, status, type, body.len, with_data);
}

static void h2_answer(mti_http_request *r, int status, mt_slice type, mt_slice body)
{
    answer(r->side, status, type, body);
}

void http_h2_answer_problem(http_h2_stream *s, int status, const char *code)
{
    char problem[192];

    if (status == 503)
        add(s, MT_SLICE("retry-after"), MT_SLICE("1"));
    answer(s, status, MT_SLICE("application/problem+json"), http_problem(problem, sizeof problem, status, code));
}

static void h2_begin(mti_http_request *r, int status, mt_slice type)
{
    http_h2_stream *s = r->side;

    s->taken = true; /* the head is a piece of its own */
    submit(s, status, type, SIZE_MAX, true);
}

static void h2_send(mti_http_request *r, mt_slice data, bool last)
{
    http_h2_stream *s = r->side;

    s->data = data;
    s->piece = true;
    s->last = last;
    nghttp2_session_resume_data(s->conn->session, s->id);
    http_h2_flush(s->conn);
}

static void h2_abort(mti_http_request *r)
{
    http_h2_stream *s = r->side;

    nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    http_h2_flush(s->conn);
}

/* --- the body --- */

static void body_end(http_h2_stream *s, mt_status status)
{
    mti_http_request *r = s->r;

    s->reading = false;
    s->body_over = true;
    if (status == MT_OK && s->input) {
        r->input = s->input;
        r->body = (mt_slice){s->input->bytes, s->input->size};
        s->input = NULL;
    }
    http_request_body_ended(r, status);
}

void http_h2_body_look(http_h2_stream *s)
{
    if (s->input && s->input->size > s->limit)
        body_end(s, MT_TOO_LARGE);
    else if (s->ended)
        body_end(s, MT_OK);
}

void http_h2_body_late(http_h2_stream *s)
{
    body_end(s, MT_TIMEOUT);
}

static void h2_read_body(mti_http_request *r, size_t limit)
{
    static const nghttp2_nv go_on = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, 0};
    http_h2_stream *s = r->side;
    nghttp2_session *session = s->conn->session;

    s->reading = true;
    s->limit = limit;
    s->mark = s->input ? s->input->size : 0;
    if (s->unread)
        nghttp2_session_consume(session, s->id, s->unread);
    else if (!s->ended && mt_slice_eq(mti_http_header(r, "expect"), MT_SLICE("100-continue")))
        nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, s->id, NULL, &go_on, 1, NULL);
    s->unread = 0;
    http_h2_body_look(s);
    http_h2_flush(s->conn);
}

/* The rest of a body after the answer. A reset right behind the answer makes some clients forget the answer, so what comes at first is
 * taken and thrown away. */
static void linger(http_h2_stream *s, size_t n)
{
    nghttp2_session_consume(s->conn->session, s->id, n);
    s->linger -= n < s->linger ? n : s->linger;
    if (!s->linger)
        nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
}

void http_h2_linger(http_h2_stream *s)
{
    const size_t unread = s->unread;

    s->unread = 0;
    s->linger = LINGER_BYTES;
    linger(s, unread);
}

int http_h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    http_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

    if (s && s->linger) {
        linger(s, n);
        return 0;
    }
    if (!s || !s->r || s->body_over) { /* nobody will read it */
        nghttp2_session_consume_connection(session, n);
        return 0;
    }
    if (!s->input)
        h2o_buffer_init(&s->input, &h2o_socket_buffer_prototype);
    h2o_iovec_t to = h2o_buffer_reserve(&s->input, n);
    memcpy(to.base, p, n);
    s->input->size += n;
    if (!s->reading) {
        s->unread += n;
        return 0;
    }
    nghttp2_session_consume(session, id, n);
    http_h2_body_look(s);
    return 0;
}

const http_transport http_h2_transport = {
    .add_header = h2_add_header, .answer = h2_answer,       .begin = h2_begin,
    .send = h2_send,             .read_body = h2_read_body, .abort = h2_abort,
};
