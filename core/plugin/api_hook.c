/* hook/1, offload/1 and defer/1. */
#include "plugin/api.h"
#include "plugin/host.h"
#include "plugin/manager.h"

#include "base/map.h"
#include "telemetry/trace.h"

static mt_outcome hook_emit(mt_call *c, mt_slice name, void *payload)
{
    int hook = mti_hook_find(name);
    const mti_hook_info *info = hook < 0 ? NULL : &mti_hook_catalogue[hook];
    char room[info ? info->size : 1] __attribute__((aligned(8)));
    void *whole = info ? mti_payload_begin(info, payload, room) : NULL;
    if (!whole) {
        mti_fail(&c->error, MT_INTERNAL, "hook_unknown", "Hook %.*s is not in the catalogue, or its payload has another size.", (int)name.len, name.p);
        return MT_ERROR;
    }
    uint16_t plugin = c->plugin;
    mt_outcome o = mti_bus_emit(c->host->bus, c, hook, whole);
    mti_payload_end(info, payload, whole);
    c->plugin = plugin;
    mti_fiber_set_tag(plugin);
    return o;
}

static mt_status hook_set(mt_call *c, mt_patch *out, mt_slice pointer, mt_slice json)
{
    return mti_patch_set(out, pointer, json);
}

static mt_status hook_set_text(mt_call *c, mt_patch *out, mt_slice pointer, mt_slice text)
{
    return mti_patch_set_text(out, pointer, text);
}

static mt_outcome hook_deny(mt_call *c, int32_t status, mt_slice code, mt_slice detail)
{
    return mti_bus_deny(c, status, code, detail);
}

static bool hook_should_stop(mt_call *c)
{
    return mti_bus_should_stop(c);
}

const mt_hook_1 mti_api_hook = {.size = sizeof mti_api_hook, .version = 1, .emit = hook_emit, .set = hook_set,
                                .set_text = hook_set_text, .deny = hook_deny, .should_stop = hook_should_stop};

/* Fair between organizations: the key is a hash of the organization's id. */
static mt_status offload_run(mt_call *c, void (*work)(void *), void *arg)
{
    uint64_t owner = mti_uuid_is_nil(c->who.org_id) ? 0 : mti_hash(c->who.org_id.b, sizeof c->who.org_id.b);
    uint64_t from = mti_trace_now(c);
    mt_status s = mti_offload_run(c->host->offload, owner, work, arg);
    if (c->trace)
        mti_trace_span(c, MTI_TRACE_OFFLOAD, "offload", mti_plugin_slug(c->host->plugins, c->plugin), from, mti_ticks(), s == MT_OK ? NULL : mti_status_name(s), NULL);
    return s;
}

const mt_offload_1 mti_api_offload = {.size = sizeof mti_api_offload, .version = 1, .run = offload_run};

static mt_status defer_add(mt_call *c, void (*work)(void *), void *arg)
{
    mti_arena_defer(&c->arena, work, arg);
    return MT_OK;
}

const mt_defer_1 mti_api_defer = {.size = sizeof mti_api_defer, .version = 1, .add = defer_add};
