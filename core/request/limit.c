/* Stage 4: rates. The credential's own rate through limiter/1, told in RateLimit headers; then the hook for quotas and policies. */
#include "request/request.h"

#include "plugin/manager.h"
#include "plugin/proxies.gen.h"

#include <mortise/hooks.h>

static uint32_t rate_of(const mti_request *r)
{
    uint32_t own = r->call.who.rate_per_minute;
    return own ? own : (uint32_t)mti_config_int(r->host->config, "limits.requests_per_minute");
}

static void add_header(mti_request *r, mt_slice name, int64_t value)
{
    char text[21];
    size_t n = mti_decimal(value > 0 ? (uint64_t)value : 0, text);
    mti_http_header_add(r->http, name, (mt_slice){text, n});
}

static mt_status take(mti_request *r)
{
    mt_call *c = &r->call;
    uint32_t rate = rate_of(r), remaining = 0;
    int64_t retry_ms = 0;
    mt_slice key = {(const char *)c->who.subject_id.b, sizeof c->who.subject_id.b};
    if (mti_http_is_local(r->http) || !mti_service_ready(r->host->plugins, MTI_SVC_LIMITER))
        return MT_OK;
    mt_status s = mti_proxy_limiter.take(c, key, 1, rate, rate, &remaining, &retry_ms);
    if (s == MT_OK || s == MT_LIMITED) {
        add_header(r, MT_SLICE("ratelimit-limit"), rate);
        add_header(r, MT_SLICE("ratelimit-remaining"), remaining);
        add_header(r, MT_SLICE("ratelimit-reset"), s == MT_OK ? (60LL * (rate - remaining) + rate - 1) / rate : (retry_ms + 999) / 1000);
    }
    if (s != MT_LIMITED)
        return s;
    add_header(r, MT_SLICE("retry-after"), (retry_ms + 999) / 1000);
    return mti_fail(&c->error, MT_LIMITED, "rate_limited", "This credential may send %u requests a minute: wait %lld ms.", rate, (long long)retry_ms);
}

static mt_status emit(mti_request *r)
{
    mt_call *c = &r->call;
    if (!mti_bus_has(r->host->bus, MTI_HOOK_LIMIT_CHECK, c))
        return MT_OK;
    mt_slice workspace = mti_uuid_is_nil(c->workspace_id) ? MT_SLICE("") : mti_request_id(&r->workspace, c->workspace_id);
    mt_limit_check in = {.size = sizeof in, .operation = mt_str(c->operation), .rate_class = mt_str(r->match.op->rate_class), .org_id = mti_request_id(&r->org, c->who.org_id),
                         .workspace_id = workspace, .subject_id = mti_request_id(&r->subject, c->who.subject_id), .cost = 1, .rate_per_minute = rate_of(r)};
    mt_outcome o = mti_bus_emit(r->host->bus, c, MTI_HOOK_LIMIT_CHECK, &in);
    return o == MT_DENY ? (c->error.http == 403 ? MT_DENIED : MT_LIMITED) : o == MT_ERROR ? MT_INTERNAL : MT_OK;
}

mt_status mti_stage_limit(mti_request *r)
{
    if (!r->match.op->permission)
        return MT_OK;
    MT_TRY(take(r));
    return emit(r);
}
