/* A request from its head to its end. */
#include "request/request.h"
#include "plugin/manager.h"
#include "telemetry/trace.h"

#include <stddef.h>

static void on_deadline(void *arg);

/* Streams have no deadline of their own: they end when one side leaves. */
static void start_deadline(mti_request *r)
{
    int64_t ms = mti_config_int(r->host->config, "http.request_timeout");
    if (r->match.op && r->match.op->stream)
        return;
    r->call.deadline_us = r->call.started_us + ms * 1000;
    r->deadline = mti_timer_start(r->call.loop, ms, on_deadline, r);
}

/* Times are taken of a recorded request only: a stage begins where the one before it ended. */
static mt_status run_stage(mti_request *r, uint64_t *at, const char *name, mt_status (*stage)(mti_request *))
{
    mt_call *c = &r->call;
    mt_status s = stage(r);
    if (!c->trace)
        return s;
    uint64_t from = *at;
    *at = mti_ticks();
    mti_trace_span(c, MTI_TRACE_STAGE, name, NULL, from, *at, s == MT_OK || s == MT_DONE ? NULL : mti_status_name(s), NULL);
    return s;
}

static mt_status run_stages(mti_request *r)
{
    uint64_t at = mti_trace_now(&r->call);
    if (mti_cors_preflight(r))
        return MT_DONE;
    MT_TRY(run_stage(r, &at, "head", mti_stage_head));
    start_deadline(r);
    MT_TRY(run_stage(r, &at, "authenticate", mti_stage_authenticate));
    MT_TRY(run_stage(r, &at, "authorize", mti_stage_authorize));
    MT_TRY(run_stage(r, &at, "limit", mti_stage_limit));
    MT_TRY(run_stage(r, &at, "body", mti_stage_body));
    return run_stage(r, &at, "operation", mti_stage_operation);
}

/* Whether the client asks for a trace; whether it may is known later (authorize.c). */
static bool asks_for_trace(const mti_http_request *http)
{
    return mt_slice_eq(mti_http_header(http, "mortise-trace"), MT_SLICE("1"));
}

static void begin(mti_request *r, mti_http_request *http, mti_host *h)
{
    mti_call_init(&r->call, mti_http_loop(http));
    r->host = h;
    r->http = http;
    r->call.host = h;
    r->call.request = r;
    r->call.operation = "";
    r->call.request_id = mti_uuid_v7();
    mti_trace_begin(&r->call, mti_http_header(http, "traceparent"), asks_for_trace(http));
}

static void on_deadline(void *arg)
{
    mti_request *r = arg;
    r->deadline = NULL;
    r->timed_out = true;
    mti_fiber_cancel(r->call.fiber);
}

/* A deadline interrupts whatever waits, except writes to the database (their outcome would be unknown). */
static void end_deadline(mti_request *r)
{
    if (r->deadline)
        mti_timer_cancel(r->deadline);
    r->deadline = NULL;
    if (r->timed_out && !mti_http_answered(r->http))
        mti_fail(&r->call.error, MT_TIMEOUT, "deadline_passed", "The request took longer than is allowed: ask for less, or try again later.");
}

void mti_request_entry(mti_http_request *http, void *ctx)
{
    mti_request r;
    memset(&r, 0, offsetof(mti_request, multipart.parts));
    begin(&r, http, ctx);
    mt_status s = run_stages(&r);
    end_deadline(&r);
    if (s != MT_OK && s != MT_DONE) {
        if (r.call.error.status == MT_OK)
            mti_fail(&r.call.error, s, mti_status_name(s), "The request could not be completed.");
        mti_answer_problem(&r);
    }
    mti_stage_done(&r);
    mti_call_dispose(&r.call);
    if (r.match.op)
        mti_plugin_release(r.host->plugins, mti_loop_index(r.call.loop), r.match.op->plugin);
}
