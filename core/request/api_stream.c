/* stream/1: server-sent events as the answer. */
#include "request/api.h"
#include "request/request.h"

static mt_status stream_begin(mt_call *c)
{
    mti_request *r = c->request;
    if (!r || !r->match.op->stream)
        return mti_fail(&c->error, MT_UNSUPPORTED, "not_a_stream", "Only an operation with x-stream may stream.");
    if (mti_http_answered(r->http))
        return mti_fail(&c->error, MT_CONFLICT, "already_answered", "The request was answered before.");
    mti_answer_headers(r, 200);
    mti_http_header_add(r->http, MT_SLICE("cache-control"), MT_SLICE("no-store"));
    mti_http_header_add(r->http, MT_SLICE("x-accel-buffering"), MT_SLICE("no"));
    r->streaming = true;
    r->status = 200;
    return mti_http_stream_begin(r->http, 200, MT_SLICE("text/event-stream"));
}

/* A line end inside data begins another data line. */
static void add_data(mti_buf *b, mt_slice data)
{
    mti_buf_adds(b, "data: ");
    for (size_t i = 0; i < data.len; i++) {
        if (data.p[i] == '\n')
            mti_buf_adds(b, "\ndata: ");
        else if (data.p[i] != '\r')
            mti_buf_addc(b, data.p[i]);
    }
    mti_buf_adds(b, "\n\n");
}

static mt_status stream_event(mt_call *c, mt_slice name, mt_slice data)
{
    mti_request *r = c->request;
    mti_buf b;
    if (!r || !r->streaming)
        return MT_CONFLICT;
    mti_buf_init(&b, 4 << 20);
    if (name.len) {
        mti_buf_adds(&b, "event: ");
        mti_buf_add(&b, name.p, name.len);
        mti_buf_addc(&b, '\n');
    }
    add_data(&b, data);
    mt_status s = b.status == MT_OK ? mti_http_stream_write(r->http, mti_buf_slice(&b)) : b.status;
    r->bytes_out += b.len;
    mti_buf_dispose(&b);
    return s;
}

static mt_status stream_end(mt_call *c)
{
    return c->request && c->request->streaming ? mti_http_stream_end(c->request->http) : MT_CONFLICT;
}

const mt_stream_1 mti_api_stream = {.size = sizeof mti_api_stream, .version = 1, .begin = stream_begin, .event = stream_event, .end = stream_end};
