/*
 * Which web pages may call: the origins that the operator lists (the Fetch standard's CORS protocol). Credentials travel in headers that the
 * page sets itself, never in cookies, so answers do not allow credentials, and "*" is no danger to anybody's session.
 */
#include "request/request.h"

#include <string.h>

static bool is_listed(const char *list, mt_slice origin)
{
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ", ");
        if ((len == 1 && *at == '*') || mt_slice_eq((mt_slice){at, len}, origin))
            return len != 0;
        at += len + (at[len] != 0);
    }
    return false;
}

void mti_cors_headers(mti_request *r)
{
    const char *list = r->host->cors_origins;
    if (!list || !*list)
        return;
    const bool any = !strcmp(list, "*");
    mt_slice origin = mti_http_header(r->http, "origin");
    if (!any)                                /* also without an origin: a cache must not give this answer to a page */
        mti_http_header_add(r->http, MT_SLICE("vary"), MT_SLICE("origin"));
    if (!origin.len || !is_listed(list, origin))
        return;
    mti_http_header_add(r->http, MT_SLICE("access-control-allow-origin"), any ? MT_SLICE("*") : origin);
    mti_http_header_add(r->http, MT_SLICE("access-control-expose-headers"),
                        MT_SLICE("etag, location, mortise-trace-id, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after, server-timing, traceparent, x-request-id"));
}

/* A preflight says nothing of what is behind the path: every path is answered alike, before anybody is known. */
bool mti_cors_preflight(mti_request *r)
{
    const char *list = r->host->cors_origins;
    mt_slice origin = mti_http_header(r->http, "origin"), wanted = mti_http_header(r->http, "access-control-request-headers");
    if (!list || !*list || !origin.len || !mt_slice_eq(mti_http_method(r->http), MT_SLICE("OPTIONS")) ||
        !mti_http_header(r->http, "access-control-request-method").len || !is_listed(list, origin))
        return false;
    mti_http_header_add(r->http, MT_SLICE("access-control-allow-methods"), MT_SLICE("GET, HEAD, POST, PUT, PATCH, DELETE"));
    if (wanted.len)
        mti_http_header_add(r->http, MT_SLICE("access-control-allow-headers"), wanted);
    mti_http_header_add(r->http, MT_SLICE("access-control-max-age"), MT_SLICE("7200"));
    mti_answer_raw(r, 204, (mt_slice){0}, (mt_slice){0});
    return true;
}
