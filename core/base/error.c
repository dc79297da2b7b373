#include "base/error.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    int http;
} STATUSES[] = {
    [MT_OK] = {"ok", 200},
    [MT_DONE] = {"done", 200},
    [MT_CANCELLED] = {"cancelled", 499},
    [MT_TIMEOUT] = {"timeout", 504},
    [MT_NOT_FOUND] = {"not_found", 404},
    [MT_INVALID] = {"invalid", 422},
    [MT_CONFLICT] = {"conflict", 409},
    [MT_DENIED] = {"denied", 403},
    [MT_UNAUTHENTICATED] = {"unauthenticated", 401},
    [MT_LIMITED] = {"limited", 429},
    [MT_TOO_LARGE] = {"too_large", 413},
    [MT_UNAVAILABLE] = {"unavailable", 503},
    [MT_UNSUPPORTED] = {"unsupported", 501},
    [MT_PRECONDITION] = {"precondition", 412},
    [MT_NO_MEMORY] = {"no_memory", 503},
    [MT_INTERNAL] = {"internal", 500},
};

static bool is_known(mt_status s)
{
    return (size_t)s < sizeof STATUSES / sizeof *STATUSES;
}

mt_status mti_fail(mti_error *e, mt_status status, const char *code, const char *fmt, ...)
{
    if (!e)
        return status;
    /* Built aside: code and the arguments may point into *e. */
    mti_error made = {.status = status};
    snprintf(made.code, sizeof made.code, "%s", code ? code : mti_status_name(status));
    va_list ap;
    va_start(ap, fmt);
    char text[sizeof made.detail + 4];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : strnlen(text, sizeof text);
    len = mti_utf8_cut((mt_slice){text, len}, sizeof made.detail - 1);
    memcpy(made.detail, text, len);
    *e = made;
    return status;
}

int mti_error_http(const mti_error *e)
{
    if (e->http)
        return e->http;
    return is_known(e->status) ? STATUSES[e->status].http : 500;
}

const char *mti_status_name(mt_status s)
{
    return is_known(s) ? STATUSES[s].name : "unknown";
}

mt_status mti_error_status(int http)
{
    switch (http) {
    case 400: case 422: return MT_INVALID;
    case 401: return MT_UNAUTHENTICATED;
    case 403: return MT_DENIED;
    case 404: return MT_NOT_FOUND;
    case 409: return MT_CONFLICT;
    case 412: case 428: return MT_PRECONDITION;
    case 413: return MT_TOO_LARGE;
    case 415: case 501: return MT_UNSUPPORTED;
    case 429: return MT_LIMITED;
    case 503: return MT_UNAVAILABLE;
    case 504: return MT_TIMEOUT;
    default: return MT_INTERNAL;
    }
}
