/* One cheap operation with a native handler on each of the two phases before it, to measure the host's own cost. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

static mt_outcome on_authorize(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_auth_authorize *a = in;
    return a->permission.len && a->org_id.len ? MT_CONTINUE : mt_hook_deny(c, 403, MT_SLICE("chain_denied"), MT_SLICE("No organization."));
}

static mt_outcome on_limit(void *self, mt_call *c, const void *in, mt_patch *out)
{
    const mt_limit_check *l = in;
    return l->cost <= 1000 ? MT_CONTINUE : mt_hook_deny(c, 429, MT_SLICE("chain_limited"), MT_SLICE("Too much at once."));
}

static mt_status on_read(void *self, mt_call *c)
{
    mt_slice json;
    mt_writer w = mt_write_begin(c);
    mt_write_object(&w, NULL);
    mt_write_text(&w, "hello", MT_SLICE("world"));
    mt_write_text(&w, "organization", mt_org_id(c));
    mt_write_int(&w, "number", 42);
    mt_write_close(&w);
    MT_TRY(mt_write_end(&w, &json));
    return mt_respond(c, 200, json);
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_read", on_read}};
static const mt_hook_entry hooks[] = {{"on_authorize", on_authorize}, {"on_limit", on_limit}};

MT_EXPORT const mt_plugin chain_plugin = {
    .abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "chain", .version = "0.1.0", .load = load,
    .handlers = handlers, .n_handlers = 1, .hooks = hooks, .n_hooks = 2};
