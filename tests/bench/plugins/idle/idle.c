/* Does nothing, on a hook; and asks the host a thousand times. */
#include <mortise/entry.h>
#include <mortise/hooks.h>

static mt_outcome on_response(void *self, mt_call *c, const void *in, mt_patch *out)
{
    return MT_CONTINUE;
}

static mt_status on_ask(void *self, mt_call *c)
{
    for (int i = 0; i < 1000; i++)
        if (!mt_allowed(c, MT_SLICE("bench.read")))
            return MT_DENIED;
    return MT_OK;
}

static mt_status load(void *self, const mt_host *host)
{
    mt_bind(host);
    return MT_OK;
}

static const mt_handler_entry handlers[] = {{"on_ask", on_ask}};
static const mt_hook_entry hooks[] = {{"on_response", on_response}};

MT_EXPORT const mt_plugin idle_plugin = {.abi = MT_ABI, .size = sizeof(mt_plugin), .slug = "idle", .version = "0.1.0", .load = load,
                                         .handlers = handlers, .n_handlers = 1, .hooks = hooks, .n_hooks = 1};
