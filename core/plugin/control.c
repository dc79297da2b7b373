/* Switching plugins on and off from any loop: the change itself runs on loop 0. */
#include "plugin/across.h"
#include "plugin/manager.h"
#include "plugin/record.h"

typedef struct change {
    mti_plugins *p;
    mti_plugin_record *r;
    bool on;
} change;

static mt_status apply(void *arg, mt_call *there)
{
    change *x = arg;
    return x->on ? mti_manager_enable(x->p, there, x->r) : mti_manager_disable(x->p, there, x->r);
}

static mt_status request(mti_plugins *p, mt_call *c, mt_slice slug, bool on)
{
    change x = {.p = p, .r = mti_manager_find(p, slug), .on = on};
    if (!x.r)
        return mti_fail(&c->error, MT_NOT_FOUND, "plugin_unknown", "No plugin of this name is installed: see /v1/plugins.");
    return mti_across_run(c, p->host->loops[0], apply, &x);
}

mt_status mti_plugins_enable(mti_plugins *p, mt_call *c, mt_slice slug)
{
    return request(p, c, slug, true);
}

mt_status mti_plugins_disable(mti_plugins *p, mt_call *c, mt_slice slug)
{
    return request(p, c, slug, false);
}
