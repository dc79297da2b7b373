/* A response filter that adds a member, and an action whose failures must not matter. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

static mt_outcome on_response(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_http_response *r = in;
    if (!mt_slice_eq(r->operation, MT_SLICE("hello.greet")))
        return MT_CONTINUE;
    return mt_hook_set(c, out, MT_SLICE("/body/message"), MT_SLICE("\"changed by a filter\"")) == MT_OK ? MT_CONTINUE : MT_ERROR;
}

static mt_outcome on_answered(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return MT_ERROR;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_hook_entry hooks[] = {{"on_response", on_response}, {"on_answered", on_answered}};

MT_EXPORT const mt_plugin hooked_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "hooked", .version = "0.1.0", .load = load, .hooks = hooks, .n_hooks = 2};
