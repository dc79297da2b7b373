/* Answers: JSON through the response filters, problems, and the headers that every answer carries. */
#include "request/request.h"

#include "base/log.h"
#include "bus/patch.h"
#include "db/db.h"
#include "json/writer.h"
#include "plugin/manager.h"
#include "telemetry/trace.h"

#include <mortise/hooks.h>
#include <stdio.h>

enum { FILTER_LIMIT = 1 << 20 };

static void add(mti_request *r, mt_slice name, const char *value)
{
    mti_http_header_add(r->http, name, mt_str(value));
}

/* The time is told in parts to who asks for a trace and may; not of what is refused: that an id was looked up says that it was not known here. */
void mti_answer_headers(mti_request *r, int status)
{
    char text[256];
    mti_uuid_format(r->call.request_id, text);
    mti_http_header_add(r->http, MT_SLICE("x-request-id"), (mt_slice){text, 36});
    mti_traceparent(&r->call, text);
    mti_http_header_add(r->http, MT_SLICE("traceparent"), (mt_slice){text, 55});
    if (mti_trace_allowed(&r->call))
        mti_http_header_add(r->http, MT_SLICE("mortise-trace-id"), (mt_slice){text + 3, 32});
    mti_trace_server_timing(&r->call, status < 400 && mti_trace_allowed(&r->call), text, sizeof text);
    if (text[0])
        add(r, MT_SLICE("server-timing"), text);
    add(r, MT_SLICE("x-content-type-options"), "nosniff");
    if (mti_http_is_secure(r->http))
        add(r, MT_SLICE("strict-transport-security"), "max-age=31536000");
    mti_cors_headers(r);
}

mt_status mti_answer_raw(mti_request *r, int status, mt_slice type, mt_slice body)
{
    if (mti_http_answered(r->http))
        return mti_fail(&r->call.error, MT_CONFLICT, "already_answered", "The request was answered before.");
    mti_answer_headers(r, status);
    if (r->etag) {
        char etag[48] = "\"";
        size_t n = strnlen(r->etag, sizeof etag - 3);
        memcpy(etag + 1, r->etag, n);
        etag[n + 1] = '"';
        mti_http_header_add(r->http, MT_SLICE("etag"), (mt_slice){etag, n + 2});
    }
    r->status = status;
    r->bytes_out = body.len;
    return mti_http_respond(r->http, status, type, body);
}

/* A filter's change has to leave a success as the contract tells it. */
static const mti_schema *answer_schema(void *arg, const mti_hook_field *f)
{
    const mti_request *r = arg;
    return r->match.op ? mti_operation_returns_check(r->match.op) : NULL;
}

/* Runs the response filters over a whole JSON body, when there are any. */
static mt_status filter(mti_request *r, int *status, mt_slice *json)
{
    mt_call *c = &r->call;
    if (!json->len || json->len > FILTER_LIMIT || !mti_bus_has(r->host->bus, MTI_HOOK_HTTP_RESPONSE, c))
        return MT_OK;
    mt_http_response in = {.size = sizeof in, .operation = mt_str(c->operation), .status = *status, .body = *json};
    const mti_patch_rules rules = {answer_schema, r};
    if (mti_bus_emit_under(r->host->bus, c, MTI_HOOK_HTTP_RESPONSE, &in, *status < 300 ? &rules : NULL) == MT_DENY)
        return MT_DENIED;
    *json = in.body;
    return MT_OK;
}

mt_status mti_answer_json(mti_request *r, int status, mt_slice json)
{
    MT_TRY(filter(r, &status, &json));
    MT_TRY(mti_idempotency_keep(r, status, json));
    mt_slice type = json.p ? MT_SLICE("application/json") : (mt_slice){0};
    return mti_answer_raw(r, status, type, json);
}

static const char *title_of(int status)
{
    static const struct { int status; const char *title; } titles[] = {
        {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
        {408, "Request Timeout"}, {409, "Conflict"}, {412, "Precondition Failed"}, {413, "Content Too Large"},
        {415, "Unsupported Media Type"}, {422, "Unprocessable Content"}, {428, "Precondition Required"},
        {429, "Too Many Requests"}, {501, "Not Implemented"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"}};
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return status >= 500 ? "Internal Server Error" : "Error";
}

static void write_problem(mti_request *r, const mti_error *e, int status, mti_buf *b)
{
    mti_writer w;
    char id[37], type[128];
    mti_uuid_format(r->call.request_id, id);
    snprintf(type, sizeof type, "urn:mortise:problem:%s", e->code);
    mti_writer_init(&w, b);
    mti_writer_object(&w);
    mti_writer_key_string(&w, "type", mt_str(type));
    mti_writer_key_string(&w, "title", mt_str(title_of(status)));
    mti_writer_key_int(&w, "status", status);
    mti_writer_key_string(&w, "code", mt_str(e->code));
    mti_writer_key_string(&w, "detail", mt_str(e->detail));
    if (e->pointer[0])
        mti_writer_key_string(&w, "pointer", mt_str(e->pointer));
    mti_writer_key_string(&w, "request_id", mt_str(id));
    mti_writer_object_end(&w);
}

/* OpenAI's API knows no 422, and has words of its own for some causes that its clients look at. */
static void write_openai_problem(const mti_error *e, int *status, mti_buf *b)
{
    static const struct { const char *code, *theirs; } codes[] = {
        {"credential_missing", "invalid_api_key"}, {"credential_invalid", "invalid_api_key"}, {"key_expired", "invalid_api_key"},
        {"key_revoked", "invalid_api_key"}, {"rate_limited", "rate_limit_exceeded"}};
    const char *code = e->code, *type = *status >= 500 ? "server_error" : *status == 429 ? "rate_limit_error" : *status == 401 ? "authentication_error"
                                        : *status == 403 ? "permission_error" : "invalid_request_error";
    mti_writer w;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!strcmp(code, codes[i].code))
            code = codes[i].theirs;
    if (*status == 422)
        *status = 400;
    mti_writer_init(&w, b);
    mti_writer_object(&w);
    mti_writer_key(&w, MT_SLICE("error"));
    mti_writer_object(&w);
    mti_writer_key_string(&w, "message", mt_str(e->detail));
    mti_writer_key_string(&w, "type", mt_str(type));
    mti_writer_key_string(&w, "param", e->pointer[0] ? mt_str(e->pointer + 1) : (mt_slice){0});
    mti_writer_key_string(&w, "code", mt_str(code));
    mti_writer_object_end(&w);
    mti_writer_object_end(&w);
}

/* What went wrong inside stays in the log: the client learns the request id. */
static void hide_internal(mti_request *r, mti_error *e)
{
    char id[37];
    mti_uuid_format(r->call.request_id, id);
    mti_log(MTI_LOG_ERROR, "request.failed", "request_id=%s operation=%s owner=%s code=%s detail=%s", id, r->call.operation, e->owner, e->code, e->detail);
    mti_fail(e, MT_INTERNAL, "internal_error", "Something failed inside the host; the log has more under this request_id.");
}

void mti_answer_problem(mti_request *r)
{
    mti_error e = r->call.error;
    mti_buf b;
    if (e.status == MT_CANCELLED && mti_http_gone(r->http))
        return;
    int status = mti_error_http(&e);
    if (status == 500)
        hide_internal(r, &e);
    bool openai = r->match.op && r->match.op->openai_problems;
    mti_buf_init(&b, 64 << 10);
    if (openai)
        write_openai_problem(&e, &status, &b);
    else
        write_problem(r, &e, status, &b);
    if (r->streaming) {
        mti_buf event;
        mti_buf_init(&event, 64 << 10);
        mti_buf_addf(&event, "%sdata: %s\n\n", openai ? "" : "event: error\n", b.p);
        mti_http_stream_write(r->http, mti_buf_slice(&event));
        mti_http_stream_end(r->http);
        mti_buf_dispose(&event);
    } else if (!mti_http_answered(r->http)) {
        if (status == 503 && !r->retry_told)
            add(r, MT_SLICE("retry-after"), "1");
        r->etag = NULL;
        mti_answer_raw(r, status, openai ? MT_SLICE("application/json") : MT_SLICE("application/problem+json"), mti_buf_slice(&b));
    }
    mti_buf_dispose(&b);
}
