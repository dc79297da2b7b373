/* A request from its head to its end. */
#include "request/request.h"
#include "plugin/manager.h"
#include "telemetry/trace.h"

static mt_status run_stages(mti_request *r)
{
    MT_TRY(mti_stage_head(r));
    MT_TRY(mti_stage_authenticate(r));
    MT_TRY(mti_stage_authorize(r));
    MT_TRY(mti_stage_limit(r));
    MT_TRY(mti_stage_body(r));
    return mti_stage_operation(r);
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
    mti_trace_begin(&r->call, mti_http_header(http, "traceparent"));
}

void mti_request_entry(mti_http_request *http, void *ctx)
{
    mti_request r = {0};
    begin(&r, http, ctx);
    mt_status s = run_stages(&r);
    if (s != MT_OK && s != MT_DONE) {
        if (r.call.error.status == MT_OK)
            mti_fail(&r.call.error, s, mti_status_name(s), "The request could not be completed.");
        mti_answer_problem(&r);
    }
    mti_stage_done(&r);
    mti_call_dispose(&r.call);
}
