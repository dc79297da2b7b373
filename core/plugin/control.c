/* Switching plugins on and off from any loop: the change itself runs on loop 0. */
#include "plugin/across.h"
#include "plugin/manager.h"
#include "plugin/record.h"

typedef struct change {
    mti_plugins *p;
    mti_plugin_record *r;
    bool on, release;
    const json_t *config;        /* NULL: on or off */
    mt_slice if_match;
} change;

static mt_status apply(void *arg, mt_call *there)
{
    change *x = arg;
    if (x->release)
        return mti_manager_release(x->p, there, x->r);
    if (x->config)
        return mti_manager_configure(x->p, there, x->r, x->config, x->if_match);
    return x->on ? mti_manager_enable(x->p, there, x->r) : mti_manager_disable(x->p, there, x->r);
}

static mt_status request(mti_plugins *p, mt_call *c, mt_slice slug, change x)
{
    x.p = p;
    x.r = mti_manager_find(p, slug);
    if (!x.r)
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    return mti_across_run(c, p->host->loops[0], apply, &x);
}

mt_status mti_plugins_enable(mti_plugins *p, mt_call *c, mt_slice slug)
{
    return request(p, c, slug, (change){.on = true});
}

mt_status mti_plugins_disable(mti_plugins *p, mt_call *c, mt_slice slug)
{
    return request(p, c, slug, (change){.on = false});
}

mt_status mti_plugins_configure(mti_plugins *p, mt_call *c, mt_slice slug, const json_t *config, mt_slice if_match)
{
    return request(p, c, slug, (change){.config = config, .if_match = if_match});
}

mt_status mti_plugins_preview(mti_plugins *p, mt_call *c, mt_slice slug, const json_t *config, json_t **out)
{
    bool enabled;
    json_t *stored = NULL;
    const mti_plugin_record *r = mti_manager_find(p, slug);
    if (!r || !r->manifest)
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    mt_status s = mti_store_read(c, r->slug, &enabled, &stored);
    if (s == MT_OK || s == MT_NOT_FOUND)
        s = mti_config_preview(c, r->manifest, config, stored, false, out);
    json_decref(stored);
    return s;
}

mt_status mti_plugins_release(mti_plugins *p, mt_call *c, mt_slice slug)
{
    return request(p, c, slug, (change){.release = true});
}
