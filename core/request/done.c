/* The last stage: usage, metrics, log. Always runs, shielded, after the answer is on its way. */
#include "request/request.h"

#include "base/log.h"
#include "plugin/meter.h"
#include "plugin/manager.h"
#include "telemetry/metrics.h"
#include "telemetry/trace.h"

#include <mortise/hooks.h>
#include <stdlib.h>

/* The series of one operation, made at its first request and kept with it. */
typedef struct op_metrics {
    mti_metric *by_class[6];                 /* 1xx … 5xx at index 1 … 5; 0: no answer */
    mti_metric *seconds;
} op_metrics;

static op_metrics *make_metrics(const char *operation)
{
    static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    mti_family *count = mti_metric_family(MTI_COUNTER, "mortise_http_requests_total", "Requests by operation and class of status.", "operation,class");
    mti_family *seconds = mti_metric_family(MTI_HISTOGRAM, "mortise_http_request_seconds", "Time from the head to the answer.", "operation");
    op_metrics *m = calloc(1, sizeof *m);
    for (int i = 0; i < 6; i++)
        m->by_class[i] = mti_metric_get(count, (mt_slice[]){mt_str(operation), mt_str(classes[i])}, 2);
    m->seconds = mti_metric_get(seconds, (mt_slice[]){mt_str(operation)}, 1);
    return m;
}

static const op_metrics *metrics_of(const mti_operation *op)
{
    static op_metrics *unmatched;
    void **slot = op ? (void **)&((mti_operation *)op)->metric : (void **)&unmatched;
    op_metrics *m = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (m)
        return m;
    m = make_metrics(op ? op->id : "unmatched");
    void *expected = NULL;
    if (__atomic_compare_exchange_n(slot, &expected, m, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return m;
    free(m);
    return expected;
}

static const char *outcome_of(const mti_request *r)
{
    if (mti_http_gone(r->http))
        return "cancelled";
    return r->status >= 500 ? "failed" : r->status >= 400 ? "refused" : "ok";
}

static void emit(mti_request *r, int64_t duration_us)
{
    mt_call *c = &r->call;
    if (!mti_bus_has(r->host->bus, MTI_HOOK_HTTP_DONE, c))
        return;
    mt_slice workspace = mti_uuid_is_nil(c->workspace_id) ? MT_SLICE("") : mti_request_id(&r->workspace, c->workspace_id);
    mt_http_done in = {.size = sizeof in, .operation = mt_str(c->operation), .status = r->status, .org_id = mti_request_id(&r->org, c->who.org_id), .workspace_id = workspace,
                       .subject_id = mti_request_id(&r->subject, c->who.subject_id), .duration_us = duration_us, .bytes_in = (int64_t)r->body_text.len,
                       .bytes_out = (int64_t)r->bytes_out, .outcome = mt_str(outcome_of(r))};
    mti_bus_emit(r->host->bus, c, MTI_HOOK_HTTP_DONE, &in);
}

static void log_request(mti_request *r, int64_t duration_us)
{
    char id[37];
    if (!mti_log_enabled(MTI_LOG_DEBUG))
        return;
    mt_slice method = mti_http_method(r->http), path = mti_http_path(r->http), peer = mti_http_peer(r->http);
    mti_uuid_format(r->call.request_id, id);
    mti_log(MTI_LOG_DEBUG, "http.request", "request_id=%s method=%.*s path=%.*s status=%d us=%lld peer=%.*s", id, (int)method.len, method.p,
            (int)path.len, path.p, r->status, (long long)duration_us, (int)peer.len, peer.p);
}

void mti_stage_done(mti_request *r)
{
    int64_t duration_us = mti_mono_us() - r->call.started_us;
    const op_metrics *m = metrics_of(r->match.op);
    mti_fiber_shield(true);
    r->call.deadline_us = 0;                 /* it was the answer's */
    if (r->match.op)
        mti_plugin_note(r->host->plugins, mti_loop_index(r->call.loop), r->match.op->plugin, r->status >= 500 && strcmp(r->call.error.code, "database_unavailable"));
    mti_metric_add(m->by_class[r->status / 100 < 6 ? r->status / 100 : 0], 1);
    mti_metric_observe(m->seconds, (double)duration_us / 1e6);
    if (r->match.op)
        mti_meter_bytes(&r->call, r->match.op->plugin, r->body_text.len, r->bytes_out);
    emit(r, duration_us);
    log_request(r, duration_us);
    mti_trace_end(&r->call, r->status);
    mti_fiber_shield(false);
}
