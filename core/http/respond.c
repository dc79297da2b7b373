/* Answers: whole, streamed, and those that the layer gives by itself; how they travel is the transport's. */
#include "http/internal.h"

#include <stdio.h>
#include <strings.h>

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } known[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status)
            return known[i].reason;
    return "Status";
}

/* RFC 9110, section 5.6.2: the characters of a token. */
static const bool token_chars[256] = {
    ['!'] = true,  ['#'] = true,  ['$'] = true,         ['%'] = true,        ['&'] = true,
    ['\''] = true, ['*'] = true,  ['+'] = true,         ['-'] = true,        ['.'] = true,
    ['^'] = true,  ['_'] = true,  ['`'] = true,         ['|'] = true,        ['~'] = true,
    ['0' ... '9'] = true,         ['A' ... 'Z'] = true, ['a' ... 'z'] = true};

static bool is_field_name(mt_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!token_chars[(unsigned char)s.p[i]])
            return false;
    return s.len != 0;
}

/* Eight characters of which none is below a blank or DEL: those with the high bit pass for the
 * others' sake, as they do in a field value. */
static bool are_plain(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    uint64_t w, del;

    memcpy(&w, p, sizeof w);
    del = w ^ ones * 127;
    return !((((w - ones * ' ') & ~w) | ((del - ones) & ~del)) & high);
}

static bool is_field_value(mt_slice s)
{
    size_t i = 0;

    while (s.len - i >= 8 && are_plain(s.p + i))
        i += 8;
    for (; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 127)
            return false;
    }
    return true;
}

/* Fields that say how the message is framed are the layer's own. */
static bool is_framing_field(mt_slice name)
{
    static const mt_slice own[] = {
        MT_SLICE_INIT("connection"), MT_SLICE_INIT("content-length"),    MT_SLICE_INIT("keep-alive"),
        MT_SLICE_INIT("trailer"),    MT_SLICE_INIT("transfer-encoding"), MT_SLICE_INIT("upgrade"),
    };

    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i].len == name.len && strncasecmp(own[i].p, name.p, name.len) == 0)
            return true;
    return false;
}

mt_status mti_http_header_add(mti_http_request *r, mt_slice name, mt_slice value)
{
    if (!is_field_name(name) || is_framing_field(name) || !is_field_value(value))
        return MT_INVALID;
    if (r->state != HTTP_NEW)
        return MT_CONFLICT;
    if (!r->side)
        return r->gone;
    r->transport->add_header(r, name, value);
    return MT_OK;
}

mt_status mti_http_respond(mti_http_request *r, int status, mt_slice content_type, mt_slice body)
{
    if (r->state != HTTP_NEW)
        return MT_CONFLICT;
    r->state = HTTP_ANSWERED;
    if (!r->side)
        return r->gone;
    if (content_type.p && !is_field_value(content_type))
        content_type = MT_SLICE("application/octet-stream");
    if (http_is_bodiless(status) || mt_slice_eq(r->method, MT_SLICE("HEAD")))
        body.p = NULL; /* the length is still told */
    r->transport->answer(r, status, content_type, body);
    return MT_OK;
}

mt_slice http_problem(char *out, size_t size, int status, const char *code)
{
    int n = snprintf(out, size,
                     "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\"}",
                     http_reason(status), status, code);
    return (mt_slice){out, (size_t)n};
}

/* Hands what is pending to the transport; one write at a time. */
static void stream_flush(mti_http_request *r)
{
    const bool last = r->state == HTTP_ENDED;
    mti_buf swap = r->flying;

    if (r->in_flight || !r->side || (!r->pending.len && !last))
        return;
    r->flying = r->pending;
    r->pending = swap;
    r->in_flight = true;
    r->transport->send(r, mti_buf_slice(&r->flying), last);
}

void http_request_sent(mti_http_request *r)
{
    r->in_flight = false;
    /* an idle stream holds no buffers */
    mti_buf_dispose(&r->flying);
    mti_buf_init(&r->flying, r->hl->server->options.stream_buffer);
    stream_flush(r);
    mti_wake_all(&r->wait);
}

mt_status mti_http_stream_begin(mti_http_request *r, int status, mt_slice content_type)
{
    const size_t max = r->hl->server->options.stream_buffer;

    if (r->state != HTTP_NEW)
        return MT_CONFLICT;
    r->state = HTTP_STREAMING;
    if (!r->side)
        return r->gone;
    mti_buf_init(&r->flying, max);
    mti_buf_init(&r->pending, max);
    r->discard = http_is_bodiless(status) || mt_slice_eq(r->method, MT_SLICE("HEAD"));
    r->in_flight = true;
    r->transport->begin(r, status, content_type);
    return r->gone;
}

mt_status mti_http_stream_write(mti_http_request *r, mt_slice data)
{
    if (r->gone)
        return r->gone;
    if (r->state != HTTP_STREAMING)
        return MT_CONFLICT;
    while (data.len && !r->discard) {
        const size_t room = r->pending.max - r->pending.len, n = data.len < room ? data.len : room;
        if (n == 0) {
            MT_TRY(mti_wait(&r->wait, -1));
        } else {
            MT_TRY(mti_buf_add(&r->pending, data.p, n));
            data = (mt_slice){data.p + n, data.len - n};
            stream_flush(r);
        }
        if (r->gone)
            return r->gone;
    }
    return MT_OK;
}

mt_status mti_http_stream_end(mti_http_request *r)
{
    if (r->gone)
        return r->gone;
    if (r->state != HTTP_STREAMING)
        return MT_CONFLICT;
    r->state = HTTP_ENDED;
    stream_flush(r);
    return MT_OK;
}

void http_request_end_answer(mti_http_request *r)
{
    char problem[192];

    if (!r->side)
        return;
    if (r->state == HTTP_STREAMING) {
        r->state = HTTP_ENDED;
        r->transport->abort(r);
    } else if (r->state == HTTP_NEW) {
        r->state = HTTP_ANSWERED;
        r->transport->answer(r, 500, MT_SLICE("application/problem+json"),
                             http_problem(problem, sizeof problem, 500, "no_answer"));
    }
}
