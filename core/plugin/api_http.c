/* http/1: outbound exchanges of a plugin, to the hosts that its manifest was granted. Handles are mti_http_fetch. */
#include "http/client.h"
#include "plugin/api.h"
#include "plugin/grants.h"
#include "plugin/record.h"
#include "telemetry/trace.h"

#include <strings.h>

/* The host part of a URL; {NULL,0} when there is none. */
static mt_slice host_of(mt_slice url)
{
    const char *p = memmem(url.p, url.len, "://", 3), *end = url.p + url.len;
    if (!p)
        return (mt_slice){0};
    const char *start = p += 3;
    while (p < end && *p != '/' && *p != '?' && *p != '#')
        p++;
    const char *at = memrchr(start, '@', (size_t)(p - start));
    if (at)
        start = at + 1;
    const char *stop = start;
    while (stop < p && (*stop != ':' || *start == '['))
        if (*stop++ == ']')
            break;
    return (mt_slice){start, (size_t)(stop - start)};
}

/* The port that the URL names behind its host, or its scheme's. */
static unsigned port_of(mt_slice url, mt_slice host)
{
    const char *p = host.p + host.len, *end = url.p + url.len;
    unsigned port = 0;
    if (p < end && *p == ':')
        while (++p < end && *p >= '0' && *p <= '9' && port <= 65535)
            port = port * 10 + (unsigned)(*p - '0');
    return port ? port : url.len > 5 && !strncasecmp(url.p, "https", 5) ? 443 : 80;
}

/* By its manifest, or by the operator. */
static bool host_granted(const mti_plugin_record *r, mt_slice url, mt_slice host)
{
    for (size_t i = 0; i < r->manifest->n_hosts; i++)
        if (mti_host_matches(mt_str(r->manifest->hosts[i]), host))
            return true;
    return r->host->config && mti_grants_host(r->host->config, r->slug, host, port_of(url, host));
}

static const char *text(mt_call *c, mt_slice s)
{
    return s.p ? mti_arena_strndup(&c->arena, s.p, s.len) : NULL;
}

static mt_status prepare(mt_call *c, const mt_http_exchange *in, const mt_field *headers, size_t n, mti_http_outgoing *o)
{
    const mti_plugin_record *r = c->plugin ? c->host->plugins->records[c->plugin] : NULL;
    mt_slice host = host_of(in->url);
    if (!r || !host.len || !host_granted(r, in->url, host))
        return mti_fail(&c->error, MT_DENIED, "host_not_granted", "The plugin was not granted the host %.*s.", (int)host.len, host.p ? host.p : "");
    *o = (mti_http_outgoing){.method = text(c, in->method), .url = text(c, in->url), .headers = headers, .header_count = n, .body = in->body,
                             .head_ms = in->timeout_ms ? in->timeout_ms : mti_config_int(c->host->config, "outbound.timeout"),
                             .idle_ms = in->idle_ms > 0 ? in->idle_ms : 0,
                             .max_body = in->max_bytes > 0 ? (size_t)in->max_bytes : 0,
                             .allow_private = mti_config_bool(c->host->config, "outbound.allow_private")};
    return MT_OK;
}

/* The host only: what stands behind it may be secret. */
static void trace(mt_call *c, const char *what, mt_slice url, uint64_t from, mt_status s)
{
    if (c->trace)
        mti_trace_span(c, MTI_TRACE_HTTP, what, c->host->plugins->records[c->plugin]->slug, from, mti_ticks(), s == MT_OK ? NULL : mti_status_name(s),
                       text(c, host_of(url)));
}

static mt_status http_fetch(mt_call *c, const mt_http_exchange *in, const mt_field *headers, size_t n, int32_t *status, mt_slice *body)
{
    mti_http_outgoing o;
    mti_http_reply reply;
    MT_TRY(prepare(c, in, headers, n, &o));
    uint64_t from = mti_trace_now(c);
    mt_status s = mti_http_fetch_whole(mti_http_client_of(c->loop), &o, &c->arena, &reply, &c->error);
    trace(c, "fetch", in->url, from, s);
    MT_TRY(s);
    *status = reply.status;
    *body = reply.body;
    return MT_OK;
}

static void close_later(void *f)
{
    mti_http_fetch_close(f);
}

static mt_status http_open(mt_call *c, const mt_http_exchange *in, const mt_field *headers, size_t n, int32_t *status, mt_handle *out)
{
    mti_http_outgoing o;
    mti_http_fetch *f;
    MT_TRY(prepare(c, in, headers, n, &o));
    uint64_t from = mti_trace_now(c);
    mt_status s = mti_http_fetch_open(mti_http_client_of(c->loop), &o, &f, &c->error);
    trace(c, "open", in->url, from, s);
    MT_TRY(s);
    mti_arena_defer(&c->arena, close_later, f);
    *status = mti_http_fetch_status(f);
    *out = (mt_handle)(uintptr_t)f;
    return MT_OK;
}

static mt_status http_next(mt_call *c, mt_handle stream, mt_slice *part)
{
    return mti_http_fetch_next((mti_http_fetch *)(uintptr_t)stream, part, &c->error);
}

static mt_status http_close(mt_call *c, mt_handle stream)
{
    mti_http_fetch *f = (mti_http_fetch *)(uintptr_t)stream;
    if (f && mti_arena_undefer(&c->arena, close_later, f))
        mti_http_fetch_close(f);
    return MT_OK;
}

static mt_slice http_header(mt_call *c, mt_handle stream, mt_slice name)
{
    const mti_http_fetch *f = (const mti_http_fetch *)(uintptr_t)stream;
    mt_slice found = {NULL, 0};
    mt_field h;
    for (size_t i = 0; f && mti_http_fetch_header_at(f, i, &h); i++)
        if (mt_slice_eq(h.name, name))
            found = h.value;
    return found;
}

const mt_http_1 mti_api_http = {.size = sizeof mti_api_http, .version = 1, .fetch = http_fetch, .open = http_open, .next = http_next, .close = http_close,
                                .header = http_header};
