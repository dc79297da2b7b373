/* Stage 1: the route. What is not found is kept back until the caller is known: strangers learn nothing of paths. */
#include "request/request.h"

#include "plugin/manager.h"

#include <mortise/hooks.h>

static mt_status emit(mti_request *r)
{
    mt_call *c = &r->call;
    if (!mti_bus_has(r->host->bus, MTI_HOOK_HTTP_REQUEST, c))
        return MT_OK;
    mt_http_request in = {.size = sizeof in, .method = mti_http_method(r->http), .path = mti_http_path(r->http),
                               .query = mti_http_query(r->http), .peer = mti_http_peer(r->http), .operation = mt_str(c->operation)};
    mt_outcome o = mti_bus_emit(r->host->bus, c, MTI_HOOK_HTTP_REQUEST, &in);
    return o == MT_DENY ? MT_DENIED : o == MT_ERROR ? MT_INTERNAL : MT_OK;
}

static mt_status decode_params(mti_request *r)
{
    const mti_operation *op = r->match.op;
    for (unsigned i = 0; i < op->n_params; i++) {
        mt_slice raw = r->match.params[i];
        char *out = mti_arena_alloc(&r->call.arena, raw.len + 1);
        if (!mti_percent_decode(raw, out, &r->values.params[i])) {
            mti_fail(&r->call.error, MT_INVALID, "path_invalid", "The path is not percent-encoded UTF-8.");
            r->call.error.http = 400;
            return MT_INVALID;
        }
    }
    return MT_OK;
}

/* The version of the plugin that the route names is held to the request's end. One that was closed between the look-up and the holding has left the
 * router before. */
static void find_route(mti_request *r)
{
    if (!mti_router_strip(mti_http_path(r->http), &r->path))
        return;
    do {
        const mti_router *router = atomic_load_explicit(&r->host->router, memory_order_acquire);
        r->match = mti_router_find(router, mti_http_method(r->http), r->path);
    } while (r->match.op && !mti_plugin_hold(r->host->plugins, mti_loop_index(r->call.loop), r->match.op->plugin));
}

mt_status mti_stage_head(mti_request *r)
{
    find_route(r);
    /* the router may be replaced while the request waits: copy what it owns */
    if (r->match.allow)
        r->match.allow = mti_arena_strndup(&r->call.arena, r->match.allow, strlen(r->match.allow));
    if (r->match.op) {
        r->call.operation = r->match.op->id;
        r->call.above = mti_stands_above(r->match.op);
        r->call.operation_number = r->match.op->number;
        r->values.op = r->match.op;
        r->call.values = &r->values;
        MT_TRY(decode_params(r));
    }
    return emit(r);
}
